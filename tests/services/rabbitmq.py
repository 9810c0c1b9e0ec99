"""Fixtures: a RabbitMQ for the session, and nodes that a test may kill."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.services.docker import container
from tests.services.private_rabbitmq import PrivateRabbitmq, answers_amqp, find_rabbitmq_server
from tests.services.provision import ServiceAbsentError, absent, provided

_IMAGE = "rabbitmq:4-alpine"
_NO_BINARIES = "rabbitmq-server is not installed here"


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker for the session: LEDGER_TEST_RABBITMQ_URL, else Docker, else installed binaries."""
    local = partial(_local_node, tmp_path_factory.mktemp("rabbitmq") / "home")
    yield from provided("RabbitMQ", variable="LEDGER_TEST_RABBITMQ_URL", providers=[_docker_node, local])


@pytest.fixture
def private_rabbitmq(tmp_path: Path) -> Iterator[PrivateRabbitmq]:
    """A started node of this test's own, to stop, kill, wipe and restart."""
    script = find_rabbitmq_server()
    if script is None:
        absent("private RabbitMQ", [_NO_BINARIES])
    with _private_node(tmp_path / "private-rabbitmq", script) as node:
        yield node


@contextmanager
def _docker_node() -> Iterator[str]:
    with container(_IMAGE, port=5672, environment={}, is_ready=answers_amqp) as (host, port):
        yield f"amqp://guest:guest@{host}:{port}/"


@contextmanager
def _local_node(home: Path) -> Iterator[str]:
    script = find_rabbitmq_server()
    if script is None:
        raise ServiceAbsentError(_NO_BINARIES)
    with _private_node(home, script) as node:
        yield node.url


@contextmanager
def _private_node(home: Path, script: Path) -> Iterator[PrivateRabbitmq]:
    node = PrivateRabbitmq(home, script=script)
    node.start()
    try:
        yield node
    finally:
        node.stop()
        shutil.rmtree(home)
