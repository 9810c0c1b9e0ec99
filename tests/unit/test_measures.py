"""What a process counts: exact numbers, bounded names, and one question for all who ask."""

import asyncio

from ledger.kept import Kept
from ledger.measures import Measures, Sample
from ledger.telemetry import ATTEMPTS, DELIVERIES, HTTP_REQUESTS, LEADER, QUEUED_SECONDS, WORKER_SLOTS


def test_counts_add_up_by_their_labels() -> None:
    measures = Measures()

    measures.count(ATTEMPTS, "mail", "completed")
    measures.count(ATTEMPTS, "mail", "completed", by=2)
    measures.count(ATTEMPTS, "mail", "error")

    assert measures.samples() == [
        Sample(ATTEMPTS, ("mail", "completed"), 3),
        Sample(ATTEMPTS, ("mail", "error"), 1),
    ]


def test_names_beyond_the_bound_are_counted_together_in_every_metric() -> None:
    measures = Measures(names_max=2)

    for number in range(5):
        measures.count(DELIVERIES, f"q{number}", "started")
    measures.observe(QUEUED_SECONDS, 1.0, "q4")
    measures.observe(QUEUED_SECONDS, 1.0, "q0")

    assert {sample.labels[0]: sample.value for sample in measures.samples()} == {"q0": 1, "q1": 1, "other": 3}
    assert set(measures.durations(QUEUED_SECONDS)) == {("other",), ("q0",)}


def test_labels_that_the_code_chooses_are_never_put_together() -> None:
    measures = Measures(names_max=1)

    for route in ("/tasks", "/queues", "/metrics"):
        measures.count(HTTP_REQUESTS, "GET", route, "200")

    assert [sample.labels[1] for sample in measures.samples()] == ["/tasks", "/queues", "/metrics"]


def test_a_duration_falls_into_the_first_bucket_that_is_not_below_it() -> None:
    measures = Measures()

    for seconds in (0.0, QUEUED_SECONDS.buckets[0], 0.02, 1e9):
        measures.observe(QUEUED_SECONDS, seconds, "default")

    found = measures.durations(QUEUED_SECONDS)[("default",)]
    assert (found.counts[:2], found.counts[-1], sum(found.counts)) == ([2, 1], 1, 4)
    assert found.total_seconds > 1e9


def test_a_gauge_is_read_at_each_scrape_by_whoever_offered_it_last() -> None:
    measures, busy = Measures(), [1.0]
    measures.read_from(WORKER_SLOTS, lambda: [(("busy",), 99.0)])
    measures.read_from(WORKER_SLOTS, lambda: [(("busy",), busy[0])])

    first = measures.samples()
    busy[0] = 2.0

    assert (first[0].value, measures.samples()[0].value) == (1.0, 2.0)


def test_a_process_leads_until_it_does_not() -> None:
    measures = Measures()

    with measures.leading("relay"):
        led = measures.samples()

    assert led == [Sample(LEADER, ("relay",), 1)]
    assert measures.samples() == [Sample(LEADER, ("relay",), 0)]


async def test_ten_who_ask_at_once_and_one_who_asks_soon_after_cost_one_question() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    kept = Kept(ask, seconds=60)

    assert await asyncio.gather(*(kept.answer() for _ in range(10))) == [1] * 10
    assert await kept.answer() == 1


async def test_an_answer_that_is_stale_is_asked_for_again_and_one_that_failed_is_not_kept() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ValueError(asked)
        return asked

    kept = Kept(ask, seconds=0)
    failed = await asyncio.gather(kept.answer(), return_exceptions=True)
    first = await kept.answer()
    while await kept.answer() == first:  # it is kept for twenty times as long as asking took
        await asyncio.sleep(0)

    assert isinstance(failed[0], ValueError)
    assert first == 2
