"""The load: tasks of all sorts, submitted at a steady rate through the API, some of them cancelled at any time."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import httpx

LIMITED_QUEUE = "limited"
CONCURRENCY_MAX = 3
_CANCELLED = 0.05
_CANCEL_SECONDS_MAX = 0.5


@dataclass(slots=True)
class Load:
    """What was promised: the tasks whose submit was answered with 202.

    Attributes:
        per_second: how many tasks are submitted.
        task_seconds: how long most of them sleep.
    """

    url: str
    dice: random.Random
    per_second: float = 15.0
    task_seconds: float = 0.2
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    _cancels: set["asyncio.Task[None]"] = field(default_factory=set)

    async def run(self) -> None:
        """Submit for ever."""
        async with httpx.AsyncClient(base_url=self.url, timeout=5) as client:
            limit = await client.put(f"/queues/{LIMITED_QUEUE}", json={"concurrency_max": CONCURRENCY_MAX})
            limit.raise_for_status()
            while True:
                pause = asyncio.create_task(asyncio.sleep(1 / self.per_second))
                await self._submit(client)
                await pause

    async def _submit(self, client: httpx.AsyncClient) -> None:
        try:
            answer = await client.post("/tasks", json=self._task())
        except httpx.HTTPError:
            self.refused += 1  # not answered 202: nothing was promised
            return
        if answer.status_code != httpx.codes.ACCEPTED:
            self.refused += 1
            return
        task_id = UUID(answer.json()["task_id"])
        self.accepted.append(task_id)
        if self.dice.random() < _CANCELLED:
            cancelling = asyncio.create_task(self._cancel(client, task_id))
            self._cancels.add(cancelling)
            cancelling.add_done_callback(self._cancels.discard)

    async def _cancel(self, client: httpx.AsyncClient, task_id: UUID) -> None:
        await asyncio.sleep(self.dice.uniform(0, _CANCEL_SECONDS_MAX))
        with suppress(
            httpx.HTTPError, RuntimeError
        ):  # RuntimeError: the client is closed, since the load has ended
            await client.post(f"/tasks/{task_id}/cancel")

    def _task(self) -> dict[str, object]:
        match self.dice.random():
            case part if part < 0.1:
                return {"kind": "sleep", "input": 0.05, "delay_s": 0.5}
            case part if part < 0.25:
                return {"kind": "sleep", "input": 0.1, "queue": LIMITED_QUEUE}
            case part if part < 0.4:
                return {"kind": "echo", "input": "echo"}
            case _:
                return {"kind": "sleep", "input": self.task_seconds}
