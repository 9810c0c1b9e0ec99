"""How a test gets a server: from the environment, else from the first provider that has one, else not at all."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import NoReturn

import pytest

Provider = Callable[[], AbstractContextManager[str]]


class ServiceAbsentError(Exception):
    """A provider cannot offer its server on this machine; the sentence says why."""


def provided(service: str, *, variable: str, providers: Sequence[Provider]) -> Iterator[str]:
    """Yield the URL in the environment variable, else of the first provider's server, which ends afterwards."""
    if given := os.environ.get(variable):
        yield given
        return
    reasons = [f"{variable} is not set"]
    for provider in providers:
        with ExitStack() as stack:
            try:
                url = stack.enter_context(provider())
            except ServiceAbsentError as absence:
                reasons.append(str(absence))
                continue
            yield url
            return
    absent(service, reasons)


def absent(service: str, reasons: Sequence[str]) -> NoReturn:
    """Skip the test; in CI fail it, because there a skipped test would pass for a green one."""
    sentence = f"no {service} for this test: {'; '.join(reasons)}"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
