"""The functions that another process can find: those that stand at the top of a module, under their name."""

import inspect
import sys
from dataclasses import dataclass
from functools import reduce
from importlib import import_module

from ledger.errors import ConfigurationError
from worker.signature import Function, is_coroutine_function, name_of


@dataclass(frozen=True, slots=True)
class Address:
    """Where a function stands, for example `shop.orders` and `Orders.confirm`."""

    module: str
    name: str


def address_of(function: Function, *, kind: str) -> Address:
    """Return where a handler stands that is to run in a process of its own.

    Raises:
        ConfigurationError: no other process would find it there, or it is a coroutine function.
    """
    who = f"the handler {name_of(function)} of kind {kind!r} cannot run with isolation='process'"
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if is_coroutine_function(function):
        raise ConfigurationError(f"{who}: it is async, and a process of its own runs plain functions")
    if not module or not name or "<" in name or inspect.ismethod(function):
        raise ConfigurationError(f"{who}: another process imports it, so it must be a function of a module")
    if module == "__main__":
        raise ConfigurationError(f"{who}: it stands in the script that runs; move it to a module of its own")
    return Address(module, name)


def function_at(address: Address) -> Function:
    """Import the function; raises ImportError where the module or the function is not there."""
    try:
        function: Function = reduce(getattr, address.name.split("."), import_module(address.module))  # type: ignore[assignment]  # what it is, was checked when it was registered
    except AttributeError as error:
        message = f"the module {address.module!r} has no {address.name!r}"
        raise ImportError(message) from error
    return function


def check_reachable(function: Function, *, kind: str) -> None:
    """Raise ConfigurationError where another function stands at the address of an imported handler."""
    address = address_of(function, kind=kind)
    if address.module in sys.modules and _found(address) is not function:
        raise ConfigurationError(
            f"the handler {name_of(function)} of kind {kind!r} cannot run with isolation='process': "
            "something else has its name; put @task_handler above its other decorators"
        )


def _found(address: Address) -> Function | None:
    try:
        return function_at(address)
    except ImportError:
        return None
