"""The projection `failure_groups`: what goes wrong, the same trouble in one row, and its trend by the hour."""

from projections.lagging import lagging

FAILURE_GROUPS = lagging("failure_groups", more_tables=("failure_trend",))
