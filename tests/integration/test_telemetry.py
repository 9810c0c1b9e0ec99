"""Telemetry of every role: the whole contract is told, a scrape never fails, and one trace follows a task."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.errors import ConfigurationError
from ledger.instruments import Instruments
from ledger.metrics_listener import listening, serving_metrics
from ledger.migrate import migrate
from ledger.open_telemetry import OpenTelemetryTraces
from ledger.relay import Relay
from ledger.scheduler import Scheduler
from ledger.scrape import Scrape
from ledger.store.records import StaleWrite
from ledger.telemetry import METRICS, WEBHOOK_DELIVERIES, Role
from projections.projector import Projector
from projections.task_status import TASK_STATUS
from tests.integration.api_given import client_of
from tests.integration.given import eventually, execute, fetch, opened, running, submitted
from tests.integration.webhooks_given import TEST_SETTINGS, endpoint, receiving
from tests.services.private_postgres import PrivatePostgres
from worker.consumer import Worker
from worker.registry import shipped_registry

CLIENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CLIENT_TRACE}-b7ad6b7169203331-01"
QUICK = {**TEST_SETTINGS, "heartbeat_seconds": 0.1}

Told = dict[str, dict[tuple[tuple[str, str], ...], float]]


def told(text: str) -> Told:
    """Return the samples of an exposition by family and labels."""
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


@asynccontextmanager
async def all_at_work(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    """Run every role in this process, as `up` does, and yield a client of the API."""
    broker = MemoryBroker()
    worker = Worker(ledger, broker, shipped_registry(), instruments=ledger.instruments)
    roles = (
        Relay(ledger, broker).run(),
        Scheduler(ledger).run(),
        Projector(ledger, [TASK_STATUS]).run(),
        worker.run(),
    )
    async with running(*roles), client_of(ledger, broker) as client:
        yield client


async def test_every_metric_of_the_contract_is_told_by_some_role_and_no_other(database_url: str) -> None:
    async with opened(database_url, **QUICK) as plain, receiving() as receiver:
        ledger = replace(plain, instruments=replace(plain.instruments, role=Role.UP))
        await endpoint(ledger, receiver.url)
        await submitted(ledger, kind="sleep", input=0, queue="elsewhere")
        async with all_at_work(ledger) as client:
            done = await _submit(client, kind="echo")
            failed = await _submit(client, kind="fail", max_attempts=2)
            await eventually(lambda: _ended(ledger, done, failed), what="both tasks have ended")
            await eventually(lambda: _folded(ledger, failed), what="the read model knows")
            await ledger.store.record_stale_write(
                StaleWrite(failed, "task.completed", 1, 2, "FAILED", "w", "{}", ledger.clock.now())
            )
            await eventually(lambda: _has_sent(ledger), what="the webhook was sent to")
            response = await client.get("/metrics")

    families = told(response.text)
    contract = {metric.name.removesuffix("_total") for metric in METRICS}
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert families.keys() == contract
    assert {name for name, samples in families.items() if not samples} == set()
    assert families["ledger_leader"] == {(("role", "relay"),): 1.0, (("role", "scheduler"),): 1.0}
    assert families["ledger_up"] == families["ledger_observed"] == {(): 1.0}
    assert families["ledger_queue_tasks"][("queue", "elsewhere"), ("state", "ready")] == 1
    assert families["ledger_queue_tasks"][("queue", "default"), ("state", "dead")] == 1
    assert families["ledger_attempts"][("kind", "fail"), ("outcome", "error")] == 2
    assert families["ledger_retries"] == {(("kind", "fail"),): 1.0}
    routes = {dict(labels)["route"] for labels in families["ledger_http_requests"]}
    assert routes == {"/tasks"}


async def test_requests_are_told_by_the_templates_of_their_routes(database_url: str) -> None:
    async with opened(database_url) as ledger, client_of(ledger) as client:
        await client.get("/tasks/01900000-0000-7000-8000-000000000000/status")
        await client.get("/ui/style.css")
        await client.get("/nowhere/at/all")
        await client.request("BREW", "/tasks")
        await client.post("/tasks", json={"input": 1}, headers={"Origin": "http://ledger"})
        families = told((await client.get("/metrics")).text)

    seen = {(one["method"], one["route"], one["status"]) for one in map(dict, families["ledger_http_requests"])}
    assert ("GET", "/tasks/{task_id}/status", "404") in seen
    assert ("GET", "none", "404") in seen
    assert ("POST", "/tasks", "202") in seen
    assert {method for method, _, _ in seen} == {"GET", "POST", "other"}
    assert not any("style.css" in route and "{" not in route and status == "404" for _, route, status in seen)


async def test_a_scrape_says_that_the_database_is_away_and_costs_it_nothing(
    private_postgres: PrivatePostgres,
) -> None:
    await migrate(private_postgres.url)
    async with opened(private_postgres.url, connect_timeout_seconds=1, metrics_timeout_seconds=1) as ledger:
        scrape = Scrape(ledger, role=Role.SCHEDULER)
        private_postgres.kill()

        bodies = {(await scrape.answer())[0] for _ in range(3)}

        private_postgres.start()
        (after, _) = await Scrape(ledger, role=Role.SCHEDULER).answer()

    families = told(bodies.pop().decode())
    assert families["ledger_up"] == {(): 0.0}
    assert families["ledger_queue_tasks"] == families["ledger_observed"] == {}
    assert ("state", "max") in [labels[0] for labels in families["ledger_pool_connections"]]
    assert told(after.decode())["ledger_up"] == {(): 1.0}


async def test_what_cannot_be_asked_takes_its_gauges_away_and_nothing_else(database_url: str) -> None:
    async with opened(database_url) as ledger:
        await execute(ledger, "ALTER TABLE ledger.seals RENAME COLUMN upto_position TO elsewhere")

        (body, content_type) = await Scrape(ledger, role=Role.API).answer("application/openmetrics-text")

    families = told(body.decode().replace("# EOF", ""))
    assert content_type.startswith("application/openmetrics-text")
    assert (families["ledger_up"], families["ledger_observed"]) == ({(): 1.0}, {(): 0.0})
    assert families["ledger_lag_events"] == {}
    assert families["ledger_worker_capacity"]


async def test_a_role_serves_its_metrics_and_its_health_and_nothing_else(database_url: str) -> None:
    async with opened(database_url) as ledger:
        scrape = Scrape(ledger, role=Role.PROJECTOR)
        async with listening(scrape, "127.0.0.1", 0) as port, httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{port}"
            metrics = await client.get(f"{url}/metrics?x=1")
            health = await client.get(f"{url}/health")
            head = await client.head(f"{url}/health")
            refused = [(await client.get(url)).status_code, (await client.post(f"{url}/metrics")).status_code]
            garbage = await _raw(port, b"\x00" * 20_000 + b"\r\n\r\n")
            again = await client.get(f"{url}/health")

            with pytest.raises(
                ConfigurationError, match=f"LEDGER_METRICS_PORT must be free .* got 127.0.0.1:{port}"
            ):
                await listening(scrape, "127.0.0.1", port).__aenter__()

    assert told(metrics.text).keys() == {
        metric.name.removesuffix("_total") for metric in METRICS if metric.is_of(Role.PROJECTOR)
    }
    assert (health.json(), head.content, again.status_code) == ({"status": "ok"}, b"", 200)
    assert (refused, garbage) == ([404, 405], b"")


async def test_a_role_listens_only_where_it_was_told_to(database_url: str) -> None:
    async with opened(database_url) as ledger, serving_metrics(ledger, role=Role.RELAY) as port:
        assert port is None


async def test_one_trace_leads_from_the_client_over_a_retry_to_the_last_event(database_url: str) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with opened(database_url, **QUICK, retry_base_seconds=0) as plain:
        ledger = replace(plain, instruments=Instruments(traces=OpenTelemetryTraces(provider)))
        async with all_at_work(ledger) as client:
            task_id = await _submit(client, kind="fail", max_attempts=2, headers={"traceparent": TRACEPARENT})
            await eventually(lambda: _ended(ledger, task_id), what="the task has ended")
            await eventually(lambda: _has_spans(exporter, 9), what="every span is told")
        events = await ledger.store.read_stream(task_id)

    assert _below(exporter.get_finished_spans(), parent_id=0xB7AD6B7169203331) == {
        "submit default": {
            "publish default": {},
            "process default": {
                "claim default": {},
                "run fail": {},
                "publish default": {},
                "process default": {"claim default": {}, "run fail": {}},
            },
        }
    }
    assert [event.type.removeprefix("task.") for event in events] == [
        "submitted", "started", "failed", "released", "started", "failed",
    ]  # fmt: skip
    assert {(event.traceparent or "").split("-")[1] for event in events} == {CLIENT_TRACE}
    assert events[2].traceparent == events[3].traceparent != events[4].traceparent


def _below(spans: tuple[ReadableSpan, ...], *, parent_id: int) -> dict[str, object]:
    return {
        span.name: _below(spans, parent_id=span.context.span_id)
        for span in spans
        if span.context and span.parent and span.parent.span_id == parent_id
    }


async def _has_spans(exporter: InMemorySpanExporter, count: int) -> bool:
    return len(exporter.get_finished_spans()) >= count


async def _raw(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def _submit(client: httpx.AsyncClient, *, headers: Mapping[str, str] | None = None, **task: object) -> UUID:
    response = await client.post("/tasks", json={"input": "x", **task}, headers=headers)
    return UUID(response.json()["task_id"])


async def _ended(ledger: Ledger, *task_ids: UUID) -> bool:
    for task_id in task_ids:
        if not (await ledger.commands.load(task_id)).is_finished:
            return False
    return True


async def _folded(ledger: Ledger, task_id: UUID) -> bool:
    rows = await fetch(ledger, "SELECT status FROM projections.task_status WHERE task_id = $1", task_id)
    return bool(rows) and rows[0]["status"] == "FAILED"


async def _has_sent(ledger: Ledger) -> bool:
    return any(sample.metric is WEBHOOK_DELIVERIES for sample in ledger.instruments.measures.samples())
