"""The projections that come with Task Ledger."""

from projections.projection import Projection
from projections.task_status import TASK_STATUS

SHIPPED: tuple[Projection, ...] = (TASK_STATUS,)
