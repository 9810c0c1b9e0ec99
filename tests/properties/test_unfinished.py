"""Whether a stream is unfinished: database, memory and aggregate say the same after each command of a history."""

import asyncio
from contextlib import AsyncExitStack

from hypothesis import HealthCheck, given, settings

from ledger.bootstrap import Ledger, open_ledger
from ledger.codec import fold
from ledger.settings import load_settings
from ledger.store.keys import is_unfinished
from tests.integration.given import fetch
from tests.properties.strategies import History, histories


def test_database_and_memory_call_unfinished_what_the_aggregate_does(database_url: str) -> None:
    opened = AsyncExitStack()
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        ledger = runner.run(opened.enter_async_context(open_ledger(load_settings(database_url=database_url))))

        @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(histories())
        def holds(history: History) -> None:
            runner.run(_agree(ledger, history))

        try:
            holds()
        finally:
            runner.run(opened.aclose())


async def _agree(ledger: Ledger, history: History) -> None:
    for step in history.steps:
        await ledger.store.append(history.task_id, step.events, expected_version=step.expected_version)
        stream = await ledger.store.read_stream(history.task_id)
        task = fold(stream)
        assert task is not None
        assert is_unfinished(stream) is not task.is_finished
        ((answer,),) = await fetch(ledger, "SELECT ledger.is_unfinished($1)", history.task_id)
        assert answer is not task.is_finished
