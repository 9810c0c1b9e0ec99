"""A reader of the documents, who types what they say into a running ledger and looks at what comes back."""

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Self

import httpx
from typer.testing import CliRunner

from api.cli import app
from tests.integration.documents import ROOT, Python, Typed, ids_shown
from tests.services.processes import stable_port, wait_until

# What is not typed, and who does it instead.
EXCEPTIONS = {
    r"pip install .*": "the continuous integration does, in a fresh environment (.ci)",
    r"pytest": "that is this",
    r"export DATABASE_URL=postgresql://user.*": "its servers are made up; tests bring their own",
    r"taskledger (api|relay|projector|scheduler|worker)": "tests/system/test_every_role_as_a_process.py",
}

_ANSWER_SECONDS_MAX = 20.0
_START_SECONDS_MAX = 60.0
_API = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):8080")
# What may be asked again until the document is right, because it changes nothing.
_LOOKS = re.compile(r"curl -s [^-]|taskledger .*\b(?:list|show|status|doctor|verify|explain|history)\b")


class Reader:
    """Types commands in a directory of his own; ids and addresses of the document become those of his ledger."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home = home
        self._given = {**environment, "PORT": str(stable_port()), "COLUMNS": "300", "TERM": "dumb"}
        self._environment = dict(self._given)
        self._ids: dict[str, str] = {}
        self._up: subprocess.Popen[bytes] | None = None
        self._is_alive = False

    def __enter__(self) -> Self:
        """Begin with nothing running."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop what runs."""
        self._stop()

    def open_terminal(self) -> None:
        """Begin a section in a new terminal: what was exported in the last one is forgotten."""
        if self._environment != self._given:
            self._environment = dict(self._given)
            self._stop()

    def do(self, step: Typed | Python) -> None:
        """Do as the document says; fails where that fails, or shows something else."""
        if isinstance(step, Python):
            self._python(step)
            return
        for command in step.commands:
            if any(re.fullmatch(one, command) for one in EXCEPTIONS):
                continue
            if command.startswith("taskledger up"):
                self._start(shlex.split(command)[2:])
            else:
                self._type(command, step.shown)

    def _type(self, command: str, shown: tuple[str, ...]) -> None:
        for known, actual in self._ids.items():
            command = command.replace(known, actual)
        if self._up is None:
            self._start([])
            self._live()
        told = ""

        def is_as_shown() -> bool:
            nonlocal told
            code, told = self._run(command)
            assert code == 0, f"{command} ended with {code}: {told}"
            found = ids_shown(tuple(told.splitlines()), shown)
            self._ids.update(found or {})
            return found is not None

        if _LOOKS.match(command):
            try:
                wait_until(is_as_shown, seconds_max=_ANSWER_SECONDS_MAX, what="it is as shown")
            except TimeoutError as error:
                raise AssertionError(f"{command} tells\n{told}\nand not\n{shown}") from error
        else:
            assert is_as_shown(), f"{command} tells\n{told}\nand not\n{shown}"

    def _run(self, command: str) -> tuple[int, str]:
        if command.startswith("export "):
            for word in shlex.split(self._expanded(command))[1:]:
                name, _, value = word.partition("=")
                self._environment[name] = value
            return 0, ""
        if command.startswith("curl -s "):
            return self._curl(shlex.split(command)[2:])
        if command.startswith("taskledger "):
            with chdir(self._home):
                result = CliRunner().invoke(app, shlex.split(self._expanded(command))[1:], env=self._environment)
            return result.exit_code, result.output
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._home,
            env=self._whole_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def _expanded(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda name: self._environment[name[1]], text)

    def _curl(self, words: list[str]) -> tuple[int, str]:
        method, body, url = "GET", None, ""
        left = iter(words)
        for word in left:
            if word == "-X":
                method = next(left)
            elif word == "-d":
                body = next(left)
            else:
                url = _API.sub(self._url, word)
        answer = httpx.request(method, url, content=body, timeout=30)
        return 0 if answer.is_success else answer.status_code, answer.text

    def _python(self, step: Python) -> None:
        code = compile(_API.sub(self._url, step.code), step.file or "block", "exec")
        if step.file is None:
            with redirect_stdout(StringIO()):
                exec(code, {"__name__": "block"})  # noqa: S102 - our own documents
            return
        with (self._home / step.file).open("a", encoding="utf-8") as file:
            file.write(step.code)

    def _live(self) -> None:
        """Let there be what an operator finds: a task that failed for good, one that waits, and a first seal."""
        if self._is_alive:
            return
        self._is_alive = True
        for task in ({"kind": "fail", "input": "on fire", "max_attempts": 1}, {"kind": "echo", "delay_s": 3600}):
            httpx.post(f"{self._url}/tasks", json={"input": None, **task}, timeout=30).raise_for_status()
        wait_until(
            lambda: bool(httpx.get(f"{self._url}/seals", timeout=30).json()["seals"]),
            seconds_max=_ANSWER_SECONDS_MAX,
            what="the log is sealed",
        )

    def _start(self, options: list[str]) -> None:
        self._stop()
        output = self._home / "up.log"
        with output.open("wb") as log:
            self._up = subprocess.Popen(
                [sys.executable, "-m", "api", "up", *options],
                cwd=self._home,
                env=self._whole_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        up = self._up
        wait_until(
            lambda: b"Task Ledger is up: http://localhost:" in output.read_bytes() or up.poll() is not None,
            seconds_max=_START_SECONDS_MAX,
            what="it says where it listens",
        )
        assert up.poll() is None, output.read_text("utf-8")

    def _stop(self) -> None:
        if self._up is None:
            return
        self._up.send_signal(signal.SIGTERM)
        try:
            assert self._up.wait(30) == 0
        finally:
            self._up.kill()
            self._up = None

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._environment['PORT']}"

    def _whole_environment(self) -> dict[str, str]:
        path = os.pathsep.join([self._environment.get("PATH", ""), os.environ["PATH"]]).strip(os.pathsep)
        return {**os.environ, "PYTHONPATH": str(ROOT), **self._environment, "PATH": path}
