import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from typing_extensions import TypedDict

from ledger.errors import ConfigurationError, HandlerNotFoundError
from worker.context import TaskContext
from worker.errors import InvalidInputError
from worker.registry import Handler, Registry, default_registry, load_registry, shipped_registry, task_handler

NOON = "2026-01-01T12:00:00Z"


class Order(BaseModel):
    """A model that converts nothing."""

    model_config = ConfigDict(strict=True)

    number: int
    at: datetime
    buyer: UUID


@dataclass
class Pair:
    """A dataclass."""

    left: int
    right: str


class Named(TypedDict):
    """A typed dictionary."""

    name: str


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def context() -> TaskContext:
    return TaskContext(
        task_id=uuid4(), attempt=1, kind="k", queue="default", tags=(), deadline=datetime.fromisoformat(NOON)
    )


def _registered(registry: Registry, function: Callable[..., object], **options: Any) -> Handler:  # noqa: ANN401 - each option has its own type
    registry.task_handler("k", **options)(function)
    return registry.find("k")


def test_a_function_stays_what_it_is_and_is_found_by_its_kind(registry: Registry) -> None:
    @registry.task_handler("double")
    def double(value: int) -> int:
        return 2 * value

    assert double(21) == 42
    assert registry.find("double").function is double
    assert registry.kinds == ("double",)


@pytest.mark.parametrize("annotation", [None, Any, object, JsonValue])
def test_an_input_without_a_type_is_handed_over_as_it_is(
    registry: Registry, context: TaskContext, annotation: object
) -> None:
    def handle(value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - that is the point
        return value

    if annotation is not None:
        handle.__annotations__["value"] = annotation
    value: JsonValue = {"a": [1, None]}

    assert _registered(registry, handle).call(value, context) is value


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 7, 7),
        (int, "7", 7),
        (str, "text", "text"),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (Pair, {"left": 1, "right": "a"}, Pair(1, "a")),
        (Named, {"name": "Ada"}, {"name": "Ada"}),
        (int | None, None, None),
        (datetime, NOON, datetime.fromisoformat(NOON)),
        (
            Order,
            {"number": 1, "at": NOON, "buyer": str(UUID(int=1))},
            Order(number=1, at=datetime.fromisoformat(NOON), buyer=UUID(int=1)),
        ),
    ],
)
def test_an_input_becomes_what_the_annotation_says(
    registry: Registry, context: TaskContext, annotation: object, value: JsonValue, expected: object
) -> None:
    def handle(value: object) -> object:
        return value

    handle.__annotations__["value"] = annotation

    assert _registered(registry, handle).call(value, context) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, "many", "input: Input should be a valid integer, unable to parse string as an integer, got 'many'"),
        (list[int], [1, "a"], "input.1: Input should be a valid integer"),
        (Pair, {"left": 1}, "input.right: Field required, got {'left': 1}"),
        (Named, {}, "input.name: Field required"),
        (Annotated[int, Field(ge=0)], -1, "input: Input should be greater than or equal to 0, got -1"),
        (
            Order,
            {"number": "1", "at": NOON, "buyer": str(UUID(int=1))},
            "input.number: Input should be a valid integer",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused_with_field_and_problem(
    registry: Registry, context: TaskContext, annotation: object, value: JsonValue, problem: str
) -> None:
    def handle(value: object) -> object:
        return value

    handle.__annotations__["value"] = annotation

    with pytest.raises(InvalidInputError) as refused:
        _registered(registry, handle).call(value, context)

    assert str(refused.value).startswith(f"the input does not fit the handler of 'k': {problem}")


def test_a_sentence_about_many_problems_stays_short(registry: Registry, context: TaskContext) -> None:
    def handle(value: list[int]) -> None: ...

    with pytest.raises(InvalidInputError) as refused:
        _registered(registry, handle).call(["x" * 1000] * 100, context)

    assert str(refused.value).endswith("; and 90 more")
    assert len(str(refused.value)) < 3000


def _first(context: TaskContext, value: int) -> tuple[object, ...]:
    return context, value


def _last(value: int, context: TaskContext) -> tuple[object, ...]:
    return context, value


def _named(value: int, *, about: TaskContext) -> tuple[object, ...]:
    return about, value


def _optional(value: int, context: TaskContext | None = None) -> tuple[object, ...]:
    return context, value


def _after_a_default(value: int, more: int = 0, context: TaskContext | None = None) -> tuple[object, ...]:
    assert more == 0
    return context, value


def _only_by_name(*, context: TaskContext, value: int) -> tuple[object, ...]:
    return context, value


def _quoted(value: "int", context: "TaskContext") -> tuple[object, ...]:
    return context, value


def _variadic(value: int, *_rest: int, context: TaskContext, **_more: int) -> tuple[object, ...]:
    return context, value


class Callables:
    """Other things than functions that can be called."""

    def __call__(self, value: int, context: TaskContext) -> tuple[object, ...]:
        """Return both."""
        return context, value

    def method(self, value: int, context: TaskContext) -> tuple[object, ...]:
        """Return both."""
        return context, value

    async def coroutine(self, value: int) -> int:
        """Return the input."""
        return value


def _with_more(more: str, value: int, context: TaskContext) -> tuple[object, ...]:
    assert more == "more"
    return context, value


@pytest.mark.parametrize(
    "function",
    [
        _first,
        _last,
        _named,
        _optional,
        _after_a_default,
        _only_by_name,
        _quoted,
        _variadic,
        Callables(),
        Callables().method,
        partial(_with_more, "more"),
    ],
)
def test_the_context_arrives_wherever_it_is_asked_for(
    registry: Registry, context: TaskContext, function: Callable[..., object]
) -> None:
    assert _registered(registry, function).call("7", context) == (context, 7)


def test_a_handler_may_do_without_input_and_context(registry: Registry, context: TaskContext) -> None:
    assert _registered(registry, lambda: "done").call({"ignored": True}, context) == "done"


async def _coroutine(value: int, context: TaskContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "is_coroutine_function"),
    [
        (_coroutine, True),
        (partial(_coroutine, 1), True),
        (Callables().coroutine, True),
        (_last, False),
        (Callables(), False),
    ],
)
def test_coroutine_functions_are_told_from_plain_ones(
    registry: Registry, function: Callable[..., object], *, is_coroutine_function: bool
) -> None:
    assert _registered(registry, function).is_coroutine_function is is_coroutine_function


def _too_many(value: int, other: int) -> None: ...


def _two_contexts(value: int, one: TaskContext, two: TaskContext) -> None: ...


def _generator(value: int) -> Iterator[int]:
    yield value


def _unknown_name(value: int) -> None: ...


_unknown_name.__annotations__["value"] = "Nowhere"


def _no_type(value: ModuleType) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_too_many, "has the parameter other too many"),
        (_two_contexts, "has the parameter two too many"),
        (_generator, "is a generator: a handler returns one result"),
        (_unknown_name, "has a signature that cannot be read: name 'Nowhere' is not defined"),
        (_no_type, "cannot take"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused_when_it_is_registered(
    registry: Registry, function: Callable[..., object], reason: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        _registered(registry, function)

    assert str(refused.value).startswith(f"the handler {__name__}.{function.__name__} of kind 'k'")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"timeout_seconds": 0}, "timeout_s must be between 0.1 and 604800.0, got 0"),
        ({"max_attempts": 0}, "max_attempts must be between 1 and 1000, got 0"),
    ],
)
def test_a_bound_of_a_handler_that_no_task_could_have_is_refused(
    registry: Registry, options: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        _registered(registry, _last, **options)


def test_a_kind_that_no_task_could_have_is_refused(registry: Registry) -> None:
    with pytest.raises(ConfigurationError, match="kind must be 1 to 200 characters"):
        registry.task_handler("no spaces")(_last)


def test_two_handlers_of_a_kind_are_refused_by_both_names(registry: Registry) -> None:
    registry.task_handler("k")(_last)

    with pytest.raises(ConfigurationError, match=r"kind 'k' has two handlers: .*\._last and .*\._first"):
        registry.task_handler("k")(_first)


def test_the_same_handler_may_be_registered_again(registry: Registry) -> None:
    registry.task_handler("k")(_last)
    registry.task_handler("k")(_last)

    assert registry.kinds == ("k",)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HandlerNotFoundError, match="this worker knows: default, echo, fail, sleep"):
        shipped_registry().find("nobody.knows")


def test_a_users_own_handler_goes_before_a_shipped_one() -> None:
    registry = Registry(fallback=shipped_registry())
    registry.task_handler("default")(_last)

    assert registry.find("default").function is _last
    assert registry.find("echo").kind == "echo"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", ".")])
    return tmp_path


def test_an_app_in_the_current_directory_is_imported_and_its_handlers_are_known(directory: Path) -> None:
    (directory / "app_of_the_test.py").write_text(
        "from worker.registry import task_handler\n\n@task_handler('test.app')\ndef run(value): return value\n"
    )

    registry = load_registry(["app_of_the_test"])

    assert registry.find("test.app").kind == "test.app"
    assert registry is default_registry
    assert task_handler == default_registry.task_handler


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (None, "ModuleNotFoundError: No module named 'broken_app'"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: "),
    ],
)
def test_an_app_that_cannot_be_imported_is_named_with_the_reason(
    directory: Path, source: str | None, reason: str
) -> None:
    if source is not None:
        (directory / "broken_app.py").write_text(source)

    with pytest.raises(ConfigurationError) as refused:
        load_registry(["broken_app"])

    assert str(refused.value).startswith(f"the app 'broken_app' (--app, LEDGER_APPS) cannot be imported: {reason}")
