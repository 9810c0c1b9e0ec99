"""A RabbitMQ node of a test's own, which the test may stop, kill, wipe and start again on the same port and data.

It needs no systemd, no root and none of the machine's Erlang daemons: node name, cookie, ports, data and the port
mapper daemon (epmd) are all its own.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from ledger.embedded_postgres.child import child_command
from tests.services.processes import processes_within, stable_port, wait_until

_HOST = "127.0.0.1"
_SCRIPTS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/sbin/rabbitmq-server",
    "/usr/local/sbin/rabbitmq-server",
)
# Two schedulers and few threads: a test's node shares a small machine.
_ERLANG_ARGUMENTS = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +SDio 2 +A 4"
_START_SECONDS_MAX = 90.0
_STOP_SECONDS_MAX = 30.0
_CONTROL_SECONDS_MAX = 60.0


def find_rabbitmq_server() -> Path | None:
    """Return the start script; the packaged one before the one on the PATH, which insists on its system user."""
    installed = (Path(script) for script in _SCRIPTS if os.access(script, os.X_OK))
    on_path = shutil.which("rabbitmq-server")
    return next(installed, Path(on_path) if on_path else None)


def answers_amqp(host: str, port: int) -> bool:
    """Say whether a broker opens an AMQP connection here: it answers the protocol header with a method frame."""
    try:
        with socket.create_connection((host, port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False


class PrivateRabbitmq:
    """A node that is bound to one directory; every process that it starts ends with it, or with the tests."""

    def __init__(self, home: Path, *, script: Path, management: bool = False) -> None:
        self.home = home
        self.port = stable_port()
        self.management_port = stable_port() if management else None
        self._script = script
        self._epmd_port = stable_port()
        self._environment = self._node_environment(f"ledger-{secrets.token_hex(4)}@localhost")
        self._node: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        # The kernel ends a child with the thread that forked it: this one lives until stop().
        self._thread: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        """The broker's URL; it stays the same whether the node runs or not."""
        return f"amqp://guest:guest@{_HOST}:{self.port}/"

    @property
    def management_url(self) -> str | None:
        """Where the management plugin answers (user and password: guest), if it was asked for."""
        return None if self.management_port is None else f"http://{_HOST}:{self.management_port}"

    @property
    def pid(self) -> int | None:
        """The node's process, or None when none runs."""
        running = self._node is not None and self._node.poll() is None
        return self._node.pid if self._node is not None and running else None

    def start(self) -> str:
        """Start the node on the data that is there, and return its URL when it opens AMQP connections."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="private-rabbitmq")
        try:
            self._thread.submit(self._start).result()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop in good order and end every process; idempotent. The data stays."""
        if self._node is not None:
            self._node.terminate()
            try:
                self._node.wait(_STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._node.kill()
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def kill(self) -> None:
        """End the node and its port programs with SIGKILL; the data stays."""
        if self._node is None:
            return
        self._node.kill()
        self._node.wait()
        # Its port programs have sessions of their own, but they work in our directory.
        for pid in self._remains():
            with suppress(ProcessLookupError):
                os.kill(pid, SIGKILL)
        wait_until(lambda: not self._remains(), seconds_max=10, what="the node has no process left")
        self._node = None

    def restart(self) -> None:
        """Stop in good order if it runs, and start again on the same port and data."""
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Lose all data, as when a volume is lost: stops the node if it runs, and leaves it stopped."""
        self.stop()
        shutil.rmtree(self.home / "mnesia", ignore_errors=True)

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against the node and return what it prints; takes a second or two."""
        command = [str(self._script.with_name("rabbitmqctl")), "-q", *arguments]
        answer = subprocess.run(
            command, env=self._environment, cwd=self.home, capture_output=True, text=True, check=False,
            timeout=_CONTROL_SECONDS_MAX,
        )  # fmt: skip
        if answer.returncode != 0:
            message = f"rabbitmqctl {' '.join(arguments)}: {answer.stderr.strip() or answer.stdout.strip()}"
            raise RuntimeError(message)
        return answer.stdout

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._write_configuration()
        if self._epmd is None or self._epmd.poll() is not None:
            self._start_epmd()
        self._node = self._spawn([str(self._script)])
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not self._is_ready():
            if self._node.poll() is not None or time.monotonic() > deadline:
                message = f"RabbitMQ did not start; the end of its log:\n{self._log_tail()}"
                raise RuntimeError(message)
            time.sleep(0.05)

    def _start_epmd(self) -> None:
        epmd = shutil.which("epmd")
        if epmd is None:
            message = "RabbitMQ needs epmd, which belongs to Erlang, on the PATH"
            raise RuntimeError(message)
        self._epmd = self._spawn([epmd, "-port", str(self._epmd_port), "-address", _HOST])
        # Until ours answers, the node would start one of its own, as a daemon that nobody ends.
        wait_until(lambda: _accepts(self._epmd_port), seconds_max=10, what="epmd answers")

    def _is_ready(self) -> bool:
        management = self.management_port
        return answers_amqp(_HOST, self.port) and (management is None or _accepts(management))

    def _spawn(self, arguments: list[str]) -> "subprocess.Popen[bytes]":
        with (self.home / "console.log").open("ab") as log:
            return subprocess.Popen(
                child_command(arguments, death_signal=SIGKILL), env=self._environment, cwd=self.home,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _remains(self) -> list[int]:
        epmd = None if self._epmd is None else self._epmd.pid
        return [pid for pid in processes_within(self.home) if pid != epmd]

    def _log_tail(self) -> str:
        return (self.home / "console.log").read_text(errors="replace")[-2000:]

    def _write_configuration(self) -> None:
        cookie = self.home / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)
        lines = [
            f"listeners.tcp.1 = {_HOST}:{self.port}",
            "log.console = true", "log.console.level = warning", "log.file = false",
            "loopback_users = none", "default_user = guest", "default_pass = guest",
            "vm_memory_high_watermark.absolute = 512MB", "disk_free_limit.absolute = 50MB",
        ]  # fmt: skip
        if self.management_port is not None:
            lines += [f"management.tcp.ip = {_HOST}", f"management.tcp.port = {self.management_port}"]
        (self.home / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self.home / "env.conf").write_text("")
        plugins = "[rabbitmq_management]." if self.management_port is not None else "[]."
        (self.home / "enabled_plugins").write_text(plugins)

    def _node_environment(self, name: str) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("RABBITMQ_", "ERL_"))}
        files = {
            "CONF_ENV_FILE": "env.conf", "CONFIG_FILE": "rabbitmq.conf", "ADVANCED_CONFIG_FILE": "advanced.config",
            "ENABLED_PLUGINS_FILE": "enabled_plugins", "PID_FILE": "pid", "MNESIA_BASE": "mnesia",
            "LOG_BASE": "log", "GENERATED_CONFIG_DIR": "generated", "SCHEMA_DIR": "schema",
        }  # fmt: skip
        return {
            **inherited,
            **{f"RABBITMQ_{key}": str(self.home / file) for key, file in files.items()},
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_DIST_PORT": str(stable_port()),
            "RABBITMQ_LOGS": "-",
            # The script then becomes the node instead of staying its parent.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": _HOST,
            "ERL_CRASH_DUMP": str(self.home / "crash.dump"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
        }


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1):
            return True
    except OSError:
        return False
