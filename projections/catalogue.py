"""The catalogue: every projection that a process knows, the shipped ones, installed packages' and an app's.

An app is a module of --app or LEDGER_APPS. Its projections are the values of its names that are projections, or
tuples and lists of them. A package names a projection, several, or a module that has them, as an entry point of
the group `taskledger.projections`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from ledger.apps import import_app
from ledger.errors import ConfigurationError
from projections.definition import check_definition, check_tables
from projections.errors import ProjectionNotFoundError
from projections.projection import Projection, PythonProjection, SqlProjection
from projections.shipped import SHIPPED

GROUP = "taskledger.projections"
_PROJECTIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Projections with different names and different tables."""

    projections: tuple[Projection, ...] = SHIPPED

    def __iter__(self) -> Iterator[Projection]:
        """Go through them, the shipped ones first."""
        return iter(self.projections)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(projection.name for projection in self.projections)

    def find(self, name: str) -> Projection:
        """Return the projection of this name.

        Raises:
            ProjectionNotFoundError: there is none.
        """
        for projection in self.projections:
            if projection.name == name:
                return projection
        raise ProjectionNotFoundError(name=name, known=self.names)


def load_catalogue(apps: Iterable[str], *, installed: Iterable[EntryPoint] | None = None) -> Catalogue:
    """Import what defines projections, and return all of them.

    Args:
        apps: the modules of --app and LEDGER_APPS; they may hold handlers as well.
        installed: the entry points; those of the installed packages where it is None.

    Raises:
        ConfigurationError: something cannot be imported, a projection is not valid, or two have the same name or
            table; the sentence says where it comes from.
    """
    known: list[tuple[str, Projection]] = [("Task Ledger", projection) for projection in SHIPPED]
    for entry in entry_points(group=GROUP) if installed is None else installed:
        source = f"the entry point {entry.name!r} of {GROUP}"
        _add(known, source, _loaded(entry, source))
    for app in apps:
        _add(known, f"the app {app!r}", import_app(app))
    return Catalogue(tuple(projection for _, projection in known))


def _loaded(entry: EntryPoint, source: str) -> object:
    try:
        found = entry.load()
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{source} cannot be imported: {type(error).__name__}: {error}") from error
    if not list(_projections_in(found)):
        raise ConfigurationError(f"{source} must name a projection, or a module that has one, got {entry.value!r}")
    return found


def _add(known: list[tuple[str, Projection]], source: str, found: object) -> None:
    for projection in _projections_in(found):
        if any(projection is other for _, other in known):
            continue  # imported from where it is defined
        check_definition(projection, source=source)
        for other_source, other in known:
            if projection.name == other.name:
                raise ConfigurationError(
                    f"{source}: name must be used once, got {projection.name!r} again: {other_source} has it"
                )
            check_tables(projection, other, source=source)
        known.append((source, projection))
        if len(known) > _PROJECTIONS_MAX:
            raise ConfigurationError(f"{source}: there must be at most {_PROJECTIONS_MAX} projections")


def _projections_in(found: object) -> Iterator[Projection]:
    values: Iterable[object] = vars(found).values() if isinstance(found, ModuleType) else (found,)
    for value in values:
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, SqlProjection | PythonProjection):
                yield one
