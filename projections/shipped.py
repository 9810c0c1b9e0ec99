"""The projections that come with Task Ledger."""

from projections.errors import ProjectionNotFoundError
from projections.projection import Projection
from projections.task_status import TASK_STATUS

SHIPPED: tuple[Projection, ...] = (TASK_STATUS,)


def find_projection(name: str) -> Projection:
    """Return the projection of this name.

    Raises:
        ProjectionNotFoundError: there is none.
    """
    for projection in SHIPPED:
        if projection.name == name:
            return projection
    raise ProjectionNotFoundError(name=name, known=tuple(projection.name for projection in SHIPPED))
