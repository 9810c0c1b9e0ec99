"""The server stops when it is told to, with what is in flight answered, and says why it cannot listen."""

import asyncio
import signal
import socket

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from api.server import serve, serving
from ledger.errors import ConfigurationError
from ledger.settings import Settings, load_settings


class Application:
    """Answers when the test lets it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def _settings(**given: object) -> Settings:
    return load_settings(**{"port": 0, "shutdown_grace_seconds": 5, **given})


async def test_port_0_takes_any_free_port_and_says_which() -> None:
    application = Application()
    application.may_answer.set()

    async with serving(application, _settings()) as port, httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).text == "ok"


async def test_serve_tells_its_port_and_ends_after_the_answers_in_flight() -> None:
    application, stop = Application(), asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(application, _settings(), stop=stop, started=port.set_result))
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"http://127.0.0.1:{await port}/"))
        await application.asked.wait()

        stop.set()
        application.may_answer.set()

        assert (await answer).text == "ok"
        await asyncio.wait_for(server, 5)
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{await port}/")


async def test_an_answer_that_never_comes_is_given_up_after_the_grace() -> None:
    application, stop = Application(), asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    settings = _settings(shutdown_grace_seconds=0.1)
    server = asyncio.create_task(serve(application, settings, stop=stop, started=port.set_result))
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"http://127.0.0.1:{await port}/"))
        await application.asked.wait()

        stop.set()

        await asyncio.wait_for(server, 5)
        answer.cancel()


async def test_a_server_that_is_cancelled_gives_its_port_back() -> None:
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(Application(), _settings(), stop=asyncio.Event(), started=port.set_result))
    await port

    server.cancel()
    with pytest.raises(asyncio.CancelledError):
        await server

    async with serving(Application(), _settings(port=await port)):
        pass


async def test_the_signals_of_the_process_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async with serving(Application(), _settings()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigurationError, match=f"PORT must be free, got {port}: another process"):
            await serve(Application(), _settings(port=port), stop=asyncio.Event())


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_a_host_that_is_not_here_is_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LEDGER_HOST must be an address of this machine, got '{host}'"):
        await serve(Application(), _settings(host=host), stop=asyncio.Event())
