"""Options that several commands of the command line have in common."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps

# Their types and defaults, by the names that the API has for them too.
Options = Mapping[str, tuple[object, object]]
Command = Callable[..., None]


def gathered(into: str, options: Options) -> Callable[[Command], Command]:
    """Give a command some options more; it gets what was given of them as one mapping."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(**given: object) -> None:
            values = {name: given.pop(name) for name in options}
            # An empty text stays: it asks for nothing that there is, and not for everything.
            command(**given, **{into: {name: one for name, one in values.items() if one not in (None, [], ())}})

        own = [one for one in inspect.signature(command).parameters.values() if one.name != into]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in options.items()
        ]
        run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
        run.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]  # what Typer reads
        return run

    return decorate
