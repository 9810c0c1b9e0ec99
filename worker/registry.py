"""The registry: which function handles which kind of task.

`task_handler` registers in the one default registry. It is the only global of the worker, and a deliberate one:
a decorator at the top of a user's module has nothing else to register in. Everything below takes a registry as an
argument, and tests make their own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import JsonValue

from ledger.apps import import_app
from ledger.errors import ConfigurationError, HandlerNotFoundError, InvalidValueError
from ledger.specification import TaskSpecification, check_specification
from worker.context import TaskContext
from worker.handlers import default as shipped
from worker.importable import address_of, check_reachable
from worker.signature import Function, Signature, inspect_handler, is_coroutine_function, name_of

AnyFunction = TypeVar("AnyFunction", bound=Function)
Isolation = Literal["process"]


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that runs tasks of one kind.

    Attributes:
        is_coroutine_function: it runs on the event loop; any other runs in a thread, or in a process.
        timeout_seconds: the longest that an attempt may run, where the task itself allows more.
        max_attempts: how many attempts may fail, where the task itself allows more.
        isolation: "process" for a plain function that runs in a process of its own, and is killed to stop it.
    """

    kind: str
    function: Function
    signature: Signature
    is_coroutine_function: bool
    timeout_seconds: float | None = None
    max_attempts: int | None = None
    isolation: Isolation | None = None

    def __post_init__(self) -> None:
        """Hold the bounds to those of a task."""
        task = TaskSpecification()
        try:
            check_specification(
                TaskSpecification(
                    kind=self.kind,
                    timeout_seconds=task.timeout_seconds if self.timeout_seconds is None else self.timeout_seconds,
                    max_attempts=task.max_attempts if self.max_attempts is None else self.max_attempts,
                )
            )
        except InvalidValueError as error:
            raise ConfigurationError(f"the handler {name_of(self.function)}: {error}") from error
        if self.isolation not in (None, "process"):
            raise ConfigurationError(
                f"the handler {name_of(self.function)}: isolation must be 'process' or None, "
                f"got {self.isolation!r}"
            )
        if self.isolation is not None:
            address_of(self.function, kind=self.kind)

    def call(self, value: JsonValue, context: TaskContext | None) -> object:
        """Call the function with the input as it wants it; a coroutine function returns its coroutine.

        Raises:
            InvalidInputError: the input does not fit the annotation.
        """
        return self.signature.call(self.function, self.signature.parse(value, kind=self.kind), context)


class Registry:
    """Handlers by kind; what it does not know it looks up in the fallback."""

    def __init__(self, *, fallback: "Registry | None" = None) -> None:
        self._handlers: dict[str, Handler] = {}
        self._fallback = fallback

    def task_handler(
        self,
        kind: str,
        *,
        timeout_seconds: float | None = None,
        max_attempts: int | None = None,
        isolation: Isolation | None = None,
    ) -> Callable[[AnyFunction], AnyFunction]:
        """Register the decorated function as the handler of a kind; the function itself stays as it is.

        Args:
            kind: what the task's kind has to be.
            timeout_seconds: ends an attempt that runs longer; the task's own timeout counts where it is shorter.
            max_attempts: how many attempts may fail; the task's own bound counts where it is lower.
            isolation: with "process" a plain function runs in a process of its own, and is killed when its task
                is cancelled, at its deadline, and when the worker stops.

        Raises:
            ConfigurationError: the kind has a handler already, the function's signature does not fit, or no
                other process could import it.
        """

        def register(function: AnyFunction) -> AnyFunction:
            self.add(
                Handler(
                    kind=kind,
                    function=function,
                    signature=inspect_handler(function, kind=kind),
                    is_coroutine_function=is_coroutine_function(function),
                    timeout_seconds=timeout_seconds,
                    max_attempts=max_attempts,
                    isolation=isolation,
                )
            )
            return function

        return register

    def add(self, handler: Handler) -> None:
        """Register a handler; raises ConfigurationError where its kind has another one."""
        known = self._handlers.setdefault(handler.kind, handler)
        if known.function is not handler.function:
            raise ConfigurationError(
                f"kind {handler.kind!r} has two handlers: "
                f"{name_of(known.function)} and {name_of(handler.function)}"
            )

    def find(self, kind: str) -> Handler:
        """Return the handler of a kind; raises HandlerNotFoundError where there is none."""
        handler = self._known(kind)
        if handler is None:
            raise HandlerNotFoundError(kind=kind, known=self.kinds)
        return handler

    def check(self) -> None:
        """Raise ConfigurationError where another process would not find a handler that runs in one."""
        for handler in self._handlers.values():
            if handler.isolation is not None:
                check_reachable(handler.function, kind=handler.kind)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that has a handler, sorted."""
        others = self._fallback.kinds if self._fallback is not None else ()
        return tuple(sorted({*self._handlers, *others}))

    def _known(self, kind: str) -> Handler | None:
        handler = self._handlers.get(kind)
        if handler is None and self._fallback is not None:
            return self._fallback._known(kind)  # noqa: SLF001 - of the same class
        return handler


def shipped_registry() -> Registry:
    """Return a registry of the handlers that ship with Task Ledger."""
    registry = Registry()
    for function in (shipped.default, shipped.echo, shipped.sleep, shipped.fail):
        registry.task_handler(function.__name__)(function)
    return registry


default_registry = Registry(fallback=shipped_registry())
task_handler = default_registry.task_handler


def load_registry(apps: Iterable[str]) -> Registry:
    """Import the modules that register handlers, and return the registry that they registered in.

    Raises:
        ConfigurationError: a module cannot be imported, or an isolated handler of it cannot be found by another
            process; the sentence names it and says why.
    """
    for app in apps:
        import_app(app)
    default_registry.check()
    return default_registry
