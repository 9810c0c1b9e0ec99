"""The API over a real socket: what only a real server and real bytes can show."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from api.app import create_app
from api.server import serving
from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from tests.bench.load import Load, run_load

BODY_BYTES_MAX = 4096


@pytest.fixture
async def port(database_url: str) -> AsyncIterator[int]:
    settings = load_settings(database_url=database_url, port=0, body_bytes_max=BODY_BYTES_MAX)
    async with open_ledger(settings) as ledger, serving(create_app(ledger), settings) as port:
        yield port


async def test_a_task_is_submitted_and_read_over_one_connection(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        submitted = await client.post("/tasks", json={"input": "hello"})
        status = await client.get(f"{submitted.headers['location']}/status")

    assert submitted.status_code == 202
    assert status.json()["task_id"] == submitted.json()["task_id"]
    assert "server" not in submitted.headers


async def test_many_connections_at_once_are_all_answered(port: int) -> None:
    load = Load(f"http://127.0.0.1:{port}/tasks", body=b'{"input":"hello"}', connections=32, requests=640)

    report = await run_load(load)

    assert report.statuses == {"202": 640}


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(port: int) -> None:
    head = (
        f"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\nExpect: 100-continue\r\n\r\n"
    )
    async with _connected(port) as (reader, writer):
        writer.write(head.encode())

        status, document = await _answer(reader)

    assert (status, document["status"]) == (413, 413)


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(port: int) -> None:
    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    async with _connected(port) as (reader, writer):
        writer.write(b"POST /tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 5)

        status, document = await _answer(reader)  # the body has not ended, and never will

    assert (status, document["status"]) == (413, 413)


async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(port: int) -> None:
    async with _connected(port) as (_, writer):
        writer.write(b'POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"input":')
        await writer.drain()

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.post("/tasks", json={"input": 1})).status_code == 202


@pytest.mark.parametrize("path", ["/tasks/%00/status", "/tasks/%ff%fe/status", "/tasks/..%2f..%2fhealth/status"])
async def test_an_odd_path_is_a_problem_and_no_error(port: int, path: str) -> None:
    async with _connected(port) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        status, document = await _answer(reader)

    assert status in (400, 404)
    assert document["status"] == status


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, object]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    document: dict[str, object] = json.loads(await reader.readexactly(length))
    return int(head.split(" ", 2)[1]), document
