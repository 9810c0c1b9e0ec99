"""From JSON to frozen dataclasses: what a newer server says beyond them is passed over."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

Shape = TypeVar("Shape")


class ShapeError(ValueError):
    """A value is not of the shape that was expected."""

    def __init__(self, *, name: str, wanted: str, value: object) -> None:
        self.name = name
        super().__init__(f"{name} must be {wanted}, got {type(value).__name__}")


def read_as(shape: type[Shape], value: object) -> Shape:
    """Return the JSON value as a dataclass; raises ShapeError where something that has no default is missing."""
    if not isinstance(value, Mapping):
        raise ShapeError(name=shape.__name__, wanted="an object", value=value)
    found: dict[str, Any] = {}
    for name, json_name, hint, is_required in _shape_of(shape):  # type: ignore[arg-type]  # every class is hashable
        if json_name in value:
            found[name] = _as(hint, value[json_name], name)
        elif is_required:
            raise ShapeError(name=f"{shape.__name__}.{name}", wanted="there", value=None)
    return shape(**found)


@cache
def _shape_of(shape: type) -> Sequence[tuple[str, str, Any, bool]]:
    hints = get_type_hints(shape)
    return [
        (
            one.name,
            one.metadata.get("json", one.name),
            hints[one.name],
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(shape)
    ]


def _as(hint: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - the shape is only known when it runs
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _as(_without_none(hint), value, name)
    if origin is tuple:
        return tuple(_as(get_args(hint)[0], item, name) for item in value or ())
    if hint in (datetime, UUID):
        return _from_text(hint, value, name)
    if isinstance(hint, type) and is_dataclass(hint):
        return read_as(hint, value)
    return value


def _from_text(kind: Any, value: object, name: str) -> object:  # noqa: ANN401 - datetime or UUID
    try:
        return datetime.fromisoformat(str(value)) if kind is datetime else UUID(str(value))
    except ValueError as error:
        raise ShapeError(name=name, wanted=f"a {kind.__name__}", value=value) from error


def _without_none(hint: Any) -> Any:  # noqa: ANN401 - the shape is only known when it runs
    return next((option for option in get_args(hint) if option is not type(None)), Any)
