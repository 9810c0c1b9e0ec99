"""Processes that start before their servers: they wait, and they stop at the first SIGTERM while they do."""

from pathlib import Path

import pytest

from tests.services.cluster import Cluster
from tests.services.processes import stable_port, wait_until

ROLES = ["api", "relay", "projector", "scheduler", "worker"]


@pytest.mark.parametrize("role", ROLES)
def test_role_that_waits_for_its_database_stops_at_the_first_sigterm(role: str, tmp_path: Path) -> None:
    nowhere = f"postgresql://user:secret@127.0.0.1:{stable_port()}/db"
    with Cluster(nowhere, f"amqp://guest:secret@127.0.0.1:{stable_port()}/", tmp_path / "logs") as cluster:
        cluster.start(role)
        [log] = (tmp_path / "logs").iterdir()
        wait_until(lambda: b"startup.waiting" in log.read_bytes(), seconds_max=30, what="it waits")

        code = cluster.stop(role)

    assert code == 0
    assert b"secret" not in log.read_bytes()
    assert b"Traceback" not in log.read_bytes()


@pytest.mark.parametrize("role", ["relay", "worker"])
def test_role_that_waits_for_its_broker_stops_at_the_first_sigterm(
    role: str, database_url: str, tmp_path: Path
) -> None:
    with Cluster(database_url, f"amqp://guest:secret@127.0.0.1:{stable_port()}/", tmp_path / "logs") as cluster:
        cluster.start(role)
        [log] = (tmp_path / "logs").iterdir()
        wait_until(lambda: b"startup.waiting" in log.read_bytes(), seconds_max=30, what="it waits")

        code = cluster.stop(role)

    assert code == 0
    assert b"secret" not in log.read_bytes()


def test_role_whose_database_never_comes_ends_with_a_sentence(tmp_path: Path) -> None:
    nowhere = f"postgresql://user:secret@127.0.0.1:{stable_port()}/db"
    with Cluster(nowhere, "amqp://guest@127.0.0.1:1/", tmp_path / "logs") as cluster:
        role = cluster.start("scheduler", LEDGER_STARTUP_WAIT_SECONDS="0.5")

        assert role.process.wait(30) == 4

    [log] = (tmp_path / "logs").iterdir()
    assert "taskledger: the database at postgresql://user:***@127.0.0.1" in log.read_text()
