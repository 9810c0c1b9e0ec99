"""The projection `task_timeline`: one row a task, with where its time went and a lane for each attempt."""

from projections.lagging import lagging

TASK_TIMELINE = lagging("task_timeline")
