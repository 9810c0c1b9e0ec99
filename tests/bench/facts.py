"""The facts of a run: the machine, the servers and their settings, the tree that was measured, and when."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

import asyncpg

from tests.bench.measurements import Servers
from tests.services.cluster import ROOT
from tests.services.postgres import run_apart

_SETTINGS = (
    "fsync", "synchronous_commit", "full_page_writes", "wal_level", "wal_compression", "shared_buffers",
    "max_wal_size", "max_connections",
)  # fmt: skip
_LIBRARIES = ("asyncpg", "aio-pika", "uvloop", "fastapi", "uvicorn", "orjson", "pydantic", "eventsourcing")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a figure depends on besides the code."""

    measured_at: str
    commit: str
    machine: Mapping[str, str | int]
    postgres: Mapping[str, str]
    rabbitmq: str
    python: str
    libraries: Mapping[str, str]
    peers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def facts_of(servers: Servers, peers: Mapping[str, Mapping[str, str]] | None = None) -> Facts:
    """Return the facts of a run on these servers, beside peers with these libraries."""
    installed = {found.metadata["Name"]: found.version for found in distributions()}
    return Facts(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        machine=_machine(),
        postgres=run_apart(_postgres(servers.postgres.url)),
        rabbitmq=servers.rabbitmq.control("version").strip(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries={name: installed[name] for name in _LIBRARIES if name in installed},
        peers=peers or {},
    )


def line_of(facts: Facts, *, scale: float, rounds: int) -> str:
    """Return the facts in a sentence or two, to stand below a table."""
    machine, postgres = facts.machine, facts.postgres
    settings = ", ".join(f"{name} {value}" for name, value in postgres.items() if name != "server_version")
    return (
        f"Measured {facts.measured_at} at {facts.commit}, {rounds} rounds at scale {scale:g}, "
        f"on {machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}, "
        f"load {machine['load']}; {facts.python}; "
        f"Postgres {postgres.get('server_version')} ({settings}); RabbitMQ {facts.rabbitmq}.\n"
    )


def _machine() -> Mapping[str, str | int]:
    return {
        "processor": _line_of(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count() or 0,
        "memory": _line_of(Path("/proc/meminfo"), "MemTotal"),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _line_of(path: Path, name: str) -> str:
    lines = path.read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def _commit() -> str:
    git = ("git", "-C", str(ROOT))
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head} with changes" if changed.strip() else head


async def _postgres(url: str) -> Mapping[str, str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1::text[]) ORDER BY name",
        ["server_version", *_SETTINGS],
    )
    await connection.close()
    return {row["name"]: row["value"] for row in rows}
