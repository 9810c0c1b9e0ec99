"""Servers in Docker containers, for machines where an engine answers."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.services.provision import ServiceAbsentError

_DEFAULT_SOCKET = "/var/run/docker.sock"
_READY_SECONDS_MAX = 90.0


@contextmanager
def container(
    image: str, *, port: int, environment: Mapping[str, str], is_ready: Callable[[str, int], bool]
) -> Iterator[tuple[str, int]]:
    """Run a container; yield the host and port where its `port` is reached, once it is ready.

    Raises:
        ServiceAbsentError: no engine answers, the image cannot be had, or the server is not ready in time.
    """
    if not _may_have_engine():
        reason = f"no Docker engine answers at {_DEFAULT_SOCKET}"
        raise ServiceAbsentError(reason)
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - slow, and often not needed

    try:
        running = DockerContainer(image).with_exposed_ports(port)
        for name, value in environment.items():
            running = running.with_env(name, value)
        running.start()
    except Exception as error:  # whatever the client raises, it means: no container here
        reason = f"Docker gives no {image} ({str(error).partition(chr(10))[0]})"
        raise ServiceAbsentError(reason) from error
    try:
        host, outer_port = str(running.get_container_host_ip()), int(running.get_exposed_port(port))
        deadline = time.monotonic() + _READY_SECONDS_MAX
        while not is_ready(host, outer_port):
            if time.monotonic() > deadline:
                reason = f"{image} was not ready within {_READY_SECONDS_MAX} s"
                raise ServiceAbsentError(reason)
            time.sleep(0.1)
        yield host, outer_port
    finally:
        running.stop()


def _may_have_engine() -> bool:
    # The client would find out by itself, but slowly, and it leaks its socket when nobody answers.
    if "DOCKER_HOST" in os.environ or (Path.home() / ".testcontainers.properties").exists():
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(_DEFAULT_SOCKET) == 0
