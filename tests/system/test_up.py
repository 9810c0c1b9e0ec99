"""`taskledger up` as its user meets it: one command, killed and started again, and nothing left behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.services.cluster import ROOT
from tests.services.processes import processes_within, wait_until

_START_SECONDS_MAX = 60.0
_URL = re.compile(rb"Task Ledger is up: (http://\S+)")


@dataclass(slots=True)
class Up:
    """A running `taskledger up`."""

    process: subprocess.Popen[bytes]
    output: Path
    url: str

    def ctrl_c(self) -> int:
        """Press Ctrl-C as a terminal does, and return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it the hard way."""
        self.process.kill()
        self.process.wait()


class Ups:
    """Starts `taskledger up` on one data directory, as often as a test likes."""

    def __init__(self, home: Path) -> None:
        self.data_dir = home / "state"
        self._home = home
        self._started: list[subprocess.Popen[bytes]] = []

    def launch(self, *, port: int = 0) -> tuple[subprocess.Popen[bytes], Path]:
        """Start it and return at once."""
        output = self._home / f"output-{len(self._started)}.txt"
        with output.open("wb") as stdout:
            process = subprocess.Popen(
                [sys.executable, "-m", "api", "up", "--port", str(port), "--data-dir", str(self.data_dir)],
                cwd=self._home,
                env={**_bare_environment(), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process, output

    def start(self) -> Up:
        """Start it and return when it says where it listens."""
        process, output = self.launch()
        wait_until(
            lambda: _URL.search(output.read_bytes()) is not None or process.poll() is not None,
            seconds_max=_START_SECONDS_MAX,
            what="it says where it listens",
        )
        found = _URL.search(output.read_bytes())
        assert found is not None, output.read_text()
        return Up(process, output, found[1].decode())

    def close(self) -> None:
        """End what a failed test left running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[Ups]:
    ups = Ups(tmp_path)
    yield ups
    ups.close()
    wait_until(lambda: not processes_within(ups.data_dir), seconds_max=20, what="its Postgres is gone")


def test_a_task_goes_the_whole_way_and_ctrl_c_leaves_no_process(ups: Ups) -> None:
    up = ups.start()

    task_id = httpx.post(f"{up.url}/tasks", json={"input": "hello"}).json()["task_id"]
    wait_until(lambda: _status(up, task_id)["status"] == "COMPLETED", seconds_max=20, what="the task completed")
    answer = _status(up, task_id)
    code = up.ctrl_c()

    assert "hello" in answer["result"]
    assert answer["updated_at"] > answer["created_at"]
    assert code == 0
    assert processes_within(ups.data_dir) == []


def test_every_acknowledged_task_survives_kill_minus_nine_and_completes(ups: Ups) -> None:
    up = ups.start()
    waiting = [_submit(up, {"kind": "sleep", "input": 1.0}) for _ in range(30)]
    done = _submit(up, {"input": "first"})

    up.kill()
    again = ups.start()

    wait_until(
        lambda: all(_status(again, task_id)["status"] == "COMPLETED" for task_id in [*waiting, done]),
        seconds_max=60,
        what="every task completed after the kill",
    )
    assert again.ctrl_c() == 0


def test_second_owner_of_the_data_directory_is_refused_with_a_sentence(ups: Ups) -> None:
    up = ups.start()

    second, output = ups.launch()

    assert second.wait(_START_SECONDS_MAX) == 5
    assert str(ups.data_dir) in output.read_text()
    assert "owns the data directory" in output.read_text()
    assert "Traceback" not in output.read_text()
    assert httpx.get(f"{up.url}/health").is_success
    assert up.ctrl_c() == 0


def test_taken_port_is_refused_with_a_sentence_and_nothing_stays_behind(ups: Ups) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        process, output = ups.launch(port=taken)
        code = process.wait(_START_SECONDS_MAX)

    assert code == 2
    assert f"PORT must be free, got {taken}" in output.read_text()
    assert "Traceback" not in output.read_text()
    assert processes_within(ups.data_dir) == []


def _status(up: Up, task_id: str) -> dict[str, str]:
    answer: dict[str, str] = httpx.get(f"{up.url}/tasks/{task_id}/status").raise_for_status().json()
    return answer


def _submit(up: Up, task: dict[str, object]) -> str:
    return str(httpx.post(f"{up.url}/tasks", json=task).raise_for_status().json()["task_id"])


def _bare_environment() -> dict[str, str]:
    ours = ("DATABASE_URL", "RABBITMQ_URL", "PORT", "ALLOWED_ORIGINS")
    return {name: value for name, value in os.environ.items() if name not in ours and "LEDGER_" not in name}
