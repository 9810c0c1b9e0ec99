"""The contract of the telemetry: its names are whole and say their unit, and logs keep to its fields."""

import json
import logging
from collections.abc import Iterator
from importlib import import_module

import pytest
import structlog

from ledger import telemetry
from ledger.logs import configure_logging
from ledger.telemetry import LOG_FIELDS, METRICS, Kind, Metric, Role, metrics_table
from ledger.traces import trace_fields

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def as_json() -> Iterator[None]:
    configure_logging(log_format="json")
    yield
    structlog.contextvars.clear_contextvars()
    configure_logging()


def test_every_metric_of_the_page_is_in_its_list_once() -> None:
    on_page = {value for value in vars(telemetry).values() if isinstance(value, Metric)}

    assert set(METRICS) == on_page
    assert len({metric.name for metric in METRICS}) == len(METRICS) == len(on_page)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.name.startswith("ledger_")
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert (metric.kind is Kind.HISTOGRAM) <= metric.name.endswith("_seconds")
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert metric.help.endswith(".")
    assert metric.roles


def test_up_tells_what_any_process_tells() -> None:
    assert all(metric.is_of(Role.UP) for metric in METRICS)


def test_the_table_has_a_row_for_every_metric() -> None:
    rows = metrics_table().splitlines()[2:]

    assert [row.split("`")[1] for row in rows] == [metric.name for metric in METRICS]
    assert {row.count("|") for row in rows} == {6}


@pytest.mark.usefixtures("as_json")
def test_a_line_of_ours_is_one_object_with_the_fields_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.contextvars.bind_contextvars(role="worker", **trace_fields(TRACEPARENT))

    try:
        _fail("two\nlines")
    except ValueError:
        import_module("worker.consumer").log.exception("delivery.crashed", attempt=1)

    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    assert written.keys() == {"timestamp", "level", "event", "role", "trace_id", "attempt", "exception"}
    assert written.keys() <= LOG_FIELDS.keys()
    assert (written["role"], written["trace_id"]) == ("worker", TRACEPARENT.split("-")[1])
    assert "two\nlines" in written["exception"]


@pytest.mark.usefixtures("as_json")
def test_what_a_library_logs_is_such_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(log_format="json")  # a second call does not write a line twice
    structlog.contextvars.bind_contextvars(role="api")

    try:
        _fail("of a library")
    except ValueError:
        logging.getLogger("a_library").exception("Task exception was never %s", "retrieved")
    logging.getLogger("a_library").info("not worth a line")

    (line,) = capsys.readouterr().err.splitlines()
    written = json.loads(line)
    assert (written["event"], written["logger"], written["role"], written["level"]) == (
        "Task exception was never retrieved", "a_library", "api", "error",
    )  # fmt: skip
    assert "of a library" in written["exception"]


def test_what_is_no_trace_context_gives_no_field() -> None:
    assert trace_fields(None) == trace_fields("") == trace_fields("nothing") == {}


def _fail(message: str) -> None:
    raise ValueError(message)
