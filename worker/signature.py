"""The signature of a handler, inspected once: what takes the input, of what type, and what takes the context."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args, get_type_hints

import orjson
from pydantic import JsonValue, TypeAdapter, ValidationError

from ledger.errors import ConfigurationError
from worker.context import TaskContext
from worker.errors import InvalidInputError

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_UNTYPED = (Any, object, JsonValue)
_SHOWN_CHARS_MAX = 80

Function = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Signature:
    """How a handler is called.

    Attributes:
        places: what each leading positional argument is: True for the context, False for the input.
        names: the same for keyword arguments, by name.
        wants_context: whether a parameter takes the context.
        input_type: validates the input; None hands it over as it is.
    """

    places: tuple[bool, ...]
    names: tuple[tuple[str, bool], ...]
    wants_context: bool
    input_type: TypeAdapter[object] | None

    def parse(self, value: JsonValue, *, kind: str) -> object:
        """Return the input as the annotation wants it; raises InvalidInputError where it does not fit."""
        if self.input_type is None:
            return value
        try:
            # From JSON text and not from Python values: then a strict model still takes times and ids as text.
            return self.input_type.validate_json(orjson.dumps(value))
        except ValidationError as error:
            raise InvalidInputError(kind=kind, problems=tuple(_problems(error))) from error

    def call(self, function: Function, value: object, context: TaskContext | None) -> object:
        """Call the handler."""
        positional = [context if is_context else value for is_context in self.places]
        if not self.names:
            return function(*positional)
        return function(*positional, **{name: context if is_ctx else value for name, is_ctx in self.names})


def is_coroutine_function(function: Function) -> bool:
    """Say whether calling the function makes a coroutine."""
    return inspect.iscoroutinefunction(_annotated(function))


def name_of(function: Function) -> str:
    """Return the name by which a person finds the function."""
    target = _annotated(function)
    return f"{target.__module__}.{target.__qualname__}"


def inspect_handler(function: Function, *, kind: str) -> Signature:
    """Read the signature of a handler.

    Raises:
        ConfigurationError: it cannot be called with an input and a context; the sentence names it and says why.
    """
    who = f"the handler {name_of(function)} of kind {kind!r}"
    target = _annotated(function)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise ConfigurationError(f"{who} is a generator: a handler returns one result")
    hints, parameters = _declared(function, who)
    filled = list(_filled(parameters, hints, who))
    takes_input = next((one for one in filled if not one.is_context), None)
    return Signature(
        places=tuple(one.is_context for one in filled if not one.by_name),
        names=tuple((one.name, one.is_context) for one in filled if one.by_name),
        wants_context=any(one.is_context for one in filled),
        input_type=None if takes_input is None else _type_of(hints.get(takes_input.name, Any), who),
    )


@dataclass(frozen=True, slots=True)
class _Filled:
    """A parameter that the worker fills, with the context or with the input."""

    name: str
    is_context: bool
    by_name: bool


def _annotated(function: Function) -> Callable[..., Any]:
    target: Callable[..., Any] = function
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target) and not inspect.isclass(target):
        target = type(target).__call__
    return target


def _declared(function: Function, who: str) -> tuple[dict[str, object], list[inspect.Parameter]]:
    try:
        hints = get_type_hints(_annotated(function), include_extras=True)
        return hints, list(inspect.signature(function).parameters.values())
    except Exception as error:
        raise ConfigurationError(f"{who} has a signature that cannot be read: {error}") from error


def _filled(parameters: list[inspect.Parameter], hints: dict[str, object], who: str) -> Iterator[_Filled]:
    taken: set[bool] = set()
    skipped = False
    for parameter in parameters:
        if parameter.kind in _VARIADIC:
            continue
        is_context = _is_context(hints.get(parameter.name))
        if is_context not in taken:
            taken.add(is_context)
            by_name = skipped or parameter.kind is parameter.KEYWORD_ONLY
            yield _Filled(parameter.name, is_context, by_name)
        elif parameter.default is parameter.empty:
            raise ConfigurationError(
                f"{who} has the parameter {parameter.name} too many: it gets the input, "
                "and the context in a parameter annotated TaskContext"
            )
        else:
            skipped = True


def _is_context(annotation: object) -> bool:
    return annotation is TaskContext or TaskContext in get_args(annotation)


def _type_of(annotation: object, who: str) -> TypeAdapter[object] | None:
    if any(annotation is untyped for untyped in _UNTYPED):
        return None
    try:
        adapter: TypeAdapter[object] = TypeAdapter(annotation)  # type: ignore[arg-type]  # whatever stands there
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{who} cannot take {annotation} as its input: {reason}") from error
    return adapter


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_context=False):
        field = ".".join(("input", *map(str, problem["loc"])))
        value = repr(problem["input"])
        shown = value if len(value) <= _SHOWN_CHARS_MAX else f"{value[:_SHOWN_CHARS_MAX]}…"
        yield f"{field}: {problem['msg']}, got {shown}"
