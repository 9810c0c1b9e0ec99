"""The pytest plugin: the fixture `ledger_test`, a Task Ledger in memory for tests of one's own handlers.

    async def test_a_mail_that_bounces_is_tried_again(ledger_test):
        ledger_test.use("shop.tasks")
        ledger_test.fail_next("mail.send", ConnectionError("no route"))

        task_id = await ledger_test.submit("mail.send", {"to": "ada"}, delay=3600)
        await ledger_test.run_until_idle()

        assert ledger_test.statuses[task_id] == "COMPLETED"
        assert [event.type for event in ledger_test.events(task_id)][-1] == "task.completed"

pytest loads it by itself where Task Ledger is installed. `--ledger-app shop.tasks`, or `ledger_apps = shop.tasks`
in its configuration, imports the modules that register handlers for every such test. Nothing of Task Ledger is
imported before a test asks for the fixture, whose type is `api.rehearsal.ledger_test.LedgerTest`.
"""

from importlib import import_module
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("Task Ledger")
    group.addoption(
        "--ledger-app",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers handlers, for the fixture ledger_test; may be repeated",
    )
    parser.addini("ledger_apps", "modules that register handlers, for the fixture ledger_test", type="args")


@pytest.fixture
def ledger_test(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - `LedgerTest`, which is imported only now
    """Make an empty ledger in memory; see `api.rehearsal.ledger_test.LedgerTest`."""
    ledger = import_module("api.rehearsal.ledger_test").LedgerTest()
    for app in (*request.config.getini("ledger_apps"), *request.config.getoption("--ledger-app")):
        ledger.use(app)
    return ledger
