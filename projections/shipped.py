"""The projections that come with Task Ledger."""

from projections.failure_groups import FAILURE_GROUPS
from projections.projection import Projection
from projections.queue_stats import QUEUE_STATS
from projections.task_status import TASK_STATUS
from projections.task_timeline import TASK_TIMELINE

SHIPPED: tuple[Projection, ...] = (TASK_STATUS, TASK_TIMELINE, QUEUE_STATS, FAILURE_GROUPS)
