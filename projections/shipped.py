"""The projections that come with Task Ledger."""

from projections.errors import ProjectionNotFoundError
from projections.failure_groups import FAILURE_GROUPS
from projections.projection import Projection
from projections.queue_stats import QUEUE_STATS
from projections.task_status import TASK_STATUS
from projections.task_timeline import TASK_TIMELINE

SHIPPED: tuple[Projection, ...] = (TASK_STATUS, TASK_TIMELINE, QUEUE_STATS, FAILURE_GROUPS)


def find_projection(name: str) -> Projection:
    """Return the projection of this name.

    Raises:
        ProjectionNotFoundError: there is none.
    """
    for projection in SHIPPED:
        if projection.name == name:
            return projection
    raise ProjectionNotFoundError(name=name, known=tuple(projection.name for projection in SHIPPED))
