"""Schedules that code declares: by the handler's kind, within the bounds of any other, each name once."""

import pytest
from pydantic import JsonValue

from ledger.errors import ConfigurationError
from ledger.schedules.schedule import Backfill, Overlap, TaskTemplate
from worker.registry import Registry
from worker.scheduled import declared_schedules, scheduled

TASK = TaskTemplate(max_attempts=7)


def _run(value: JsonValue) -> JsonValue:
    return value


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_a_declaration_takes_its_kind_and_its_name_from_the_handler(registry: Registry) -> None:
    @scheduled("30 2 * * *", time_zone="Europe/Berlin", backfill=Backfill.NONE, overlap=Overlap.SKIP)
    @registry.task_handler("Report.daily")
    def report(value: JsonValue) -> JsonValue:
        return value

    (declared,) = declared_schedules(registry, default_task=TASK)

    definition = declared.definition
    assert declared.name == "report-daily"
    assert (definition.cron, definition.time_zone) == ("30 2 * * *", "Europe/Berlin")
    assert (definition.backfill, definition.overlap) == (Backfill.NONE, Overlap.SKIP)
    assert definition.task == TaskTemplate(kind="Report.daily", max_attempts=7)
    assert report("x") == "x"


def test_a_handler_can_have_several_schedules_with_names_and_tasks_of_their_own(registry: Registry) -> None:
    @registry.task_handler("sync")
    @scheduled("0 * * * *", name="hourly", task=TaskTemplate(input="small"))
    @scheduled("0 0 * * *", name="daily", task=TaskTemplate(input="big", kind="ignored"))
    def sync(value: JsonValue) -> JsonValue:
        return value

    declared = declared_schedules(registry, default_task=TASK)

    assert [(one.name, one.definition.task.kind, one.definition.task.input) for one in declared] == [
        ("daily", "sync", "big"),
        ("hourly", "sync", "small"),
    ]
    assert sync(1) == 1


def test_a_handler_without_a_declaration_declares_nothing(registry: Registry) -> None:
    registry.task_handler("plain")(_run)

    assert declared_schedules(registry, default_task=TASK) == []


def test_what_is_out_of_bounds_is_refused_and_the_function_named(registry: Registry) -> None:
    @scheduled("61 * * * *")
    @registry.task_handler("wrong")
    def wrong(value: JsonValue) -> JsonValue:
        return value

    with pytest.raises(ConfigurationError, match=r"the schedule of .*wrong.*: cron must be a cron expression"):
        declared_schedules(registry, default_task=TASK)
    assert wrong(1) == 1


def test_two_of_one_name_are_refused(registry: Registry) -> None:
    for kind in ("a.b", "a-b"):

        @scheduled("* * * * *")
        @registry.task_handler(kind)
        def one(value: JsonValue) -> JsonValue:
            return value

        assert one(1) == 1

    with pytest.raises(ConfigurationError, match="the schedule 'a-b' is declared twice"):
        declared_schedules(registry, default_task=TASK)
