"""The environments of the peers: a virtual one for each set of requirements, made on first use and kept."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.peers.peer import Peer

_INSTALL_SECONDS_MAX = 600.0
_COMPLETE = "complete"


class InstallError(Exception):
    """The environment of a peer could not be made; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter of a peer."""

    interpreter: Path


def default_home() -> Path:
    """Return where environments are kept when nobody says it: below the user's own cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "task-ledger-bench"


def environment_of(peer: Peer, home: Path) -> Environment:
    """Return the peer's environment, made if it is not there yet; our own program runs where we do.

    Raises:
        InstallError: it cannot be made.
    """
    if not peer.requirements:
        return Environment(Path(sys.executable))
    directory = home / f"{peer.name}-{_key(peer)}"
    environment = Environment(directory / "bin" / "python")
    if not (directory / _COMPLETE).exists():
        sys.stderr.write(f"installing: {', '.join(peer.requirements)}\n")
        _output([sys.executable, "-m", "venv", "--clear", str(directory)])
        quiet = ("--quiet", "--disable-pip-version-check")
        _output([str(environment.interpreter), "-m", "pip", "install", *quiet, *peer.requirements])
        (directory / _COMPLETE).touch()
    return environment


def installed_versions(peer: Peer, home: Path) -> Mapping[str, str]:
    """Return what is installed in the peer's environment; nothing where that could not be made."""
    try:
        environment = environment_of(peer, home)
        frozen = _output([str(environment.interpreter), "-m", "pip", "list", "--format", "freeze"])
    except InstallError:
        return {}
    pairs = (line.split("==", 1) for line in frozen.splitlines() if "==" in line)
    return (
        {name: version for name, version in pairs if name not in {"pip", "setuptools"}}
        if peer.requirements
        else {}
    )


def _key(peer: Peer) -> str:
    text = "\n".join((platform.python_version(), *peer.requirements))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise InstallError(f"{' '.join(command[1:4])} failed: {last[0]}")
    return done.stdout
