"""The peers of the benchmark: each pinned, and each in a program that knows nothing of Task Ledger."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.peers.catalogue import PEERS
from tests.bench.peers.environments import environment_of
from tests.bench.peers.ours import OURS, OURS_IN_PROCESS, with_port
from tests.bench.peers.peer import JobName, Peer
from tests.services.cluster import ROOT

PROGRAMS = sorted((ROOT / "tests" / "bench" / "peers" / "programs").glob("*.py"))
THEIRS = [path for path in PROGRAMS if path.name != "task_ledger_jobs.py"]
OUR_PACKAGES = {"api", "ledger", "projections", "sql", "worker"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.name)
def test_a_peers_program_imports_nothing_of_ours(path: Path) -> None:
    modules = set(imported(path))

    assert {name for name in modules if name.partition(".")[0] in OUR_PACKAGES} == set()
    assert {name for name in modules if name.startswith("tests.")} <= {
        "tests.bench.peers.programs.job",
        "tests.bench.peers.programs.notes",
    }


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_pinned_and_has_a_program(peer: Peer) -> None:
    assert [requirement for requirement in peer.requirements if "==" not in requirement] == []
    assert peer.requirements
    assert (ROOT / f"{peer.program.replace('.', '/')}.py") in THEIRS


@pytest.mark.parametrize("peer", [*PEERS, OURS_IN_PROCESS], ids=lambda peer: peer.name)
def test_whoever_drains_can_fill_its_queue_before(peer: Peer) -> None:
    if JobName.DRAIN not in peer.jobs:
        return

    settings = {**peer.jobs[JobName.DRAIN].settings}
    if known := peer.jobs.get(peer.fill):
        settings |= known.settings

    assert ("batch" if peer.fill is JobName.BATCH else "concurrency") in settings


def test_our_own_program_runs_where_we_do(tmp_path: Path) -> None:
    interpreter = environment_of(OURS, tmp_path).interpreter

    assert interpreter.exists()
    assert list(tmp_path.iterdir()) == []


def test_only_the_drain_of_our_own_program_listens() -> None:
    listening = with_port(OURS_IN_PROCESS)

    assert "port" in listening.jobs[JobName.DRAIN].settings
    assert "port" not in listening.jobs[JobName.ENQUEUE].settings
