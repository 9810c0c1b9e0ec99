"""The exact steps: each role dies of SIGKILL between two acts that belong together."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial

import httpx

from tests.chaos.faults import Dose, Fault, Harm, Recovered
from tests.chaos.system import ChaoticSystem
from tests.services.cluster import RoleProcess
from tests.services.processes import stable_port

STEPS = {
    "worker": (
        "before:task.started",  # received, nothing appended
        "before:ack",  # Started appended, not acked
        "after:ack",
        "during:run",
        "before:task.completed",
        "after:task.completed",
    ),
    "relay": ("before:publish", "after:publish"),  # after: confirmed, and the checkpoint not moved
    "projector": ("before:fold", "after:fold", "after:commit"),  # after:fold: not committed
    "scheduler": (
        "before:task.released", "after:task.released",
        "before:task.failed", "after:task.failed",  # the sweeper
    ),
    "api": ("before:task.submitted", "after:task.submitted"),  # after: committed, not answered
}  # fmt: skip
_DEATH_SECONDS_MAX = 30.0


async def death(doomed: RoleProcess, seconds_max: float = _DEATH_SECONDS_MAX) -> float:
    """Wait until a process has ended, and return when that was, in seconds since the epoch.

    Raises:
        subprocess.TimeoutExpired: it lives on.
    """
    await asyncio.to_thread(doomed.process.wait, seconds_max)
    at = time.time()
    doomed.log.close()
    return at


async def worker_dies(system: ChaoticSystem, _dose: Dose, *, step: str) -> Harm:
    """Add a worker that dies at a step of the next task that it gets."""
    doomed = system.start_doomed("worker", step)
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=10) as client:
        while doomed.process.poll() is None:  # until it gets one of them
            await client.post("/tasks", json={"kind": "echo", "input": step})
            await asyncio.sleep(0.02)
    return Harm(f"worker {step}", await death(doomed), Recovered.HELD, worker=doomed.name)


async def single_role_dies(system: ChaoticSystem, _dose: Dose, *, role: str, step: str) -> Harm:
    """Let the only process of a role be one that dies at a step of its next work."""
    for one in system.running(role):
        one.kill()
    doomed = system.start_doomed(role, step)
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=10) as client:
        await client.post("/tasks", json={"kind": "echo", "input": step, "delay_s": 0.2})
        await client.post("/tasks", json={"kind": "echo", "input": step})
    at = await death(doomed)
    system.cluster.start(role)
    return Harm(f"{role} {step}", at)


async def sweeper_dies(system: ChaoticSystem, _dose: Dose, *, step: str) -> Harm:
    """Let the sweeper die when it ends the attempt of a worker that was killed."""
    for one in system.running("scheduler"):
        one.kill()
    doomed = system.start_doomed("scheduler", step)
    victim = system.start_doomed("worker", "during:run")
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=10) as client:
        while victim.process.poll() is None:
            await client.post("/tasks", json={"kind": "echo", "input": step})
            await asyncio.sleep(0.02)
    at = await death(victim)
    await death(doomed)
    system.cluster.start("scheduler")
    return Harm(f"scheduler {step}", at, Recovered.HELD, worker=victim.name)


async def api_dies(system: ChaoticSystem, _dose: Dose, *, step: str) -> Harm:
    """Let an API die beside its commit, with a client who waits for the answer."""
    port = stable_port()
    doomed = system.start_doomed("api", step, PORT=str(port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        await submitted_in_vain(client, doomed, body={"kind": "echo", "input": step})
    return Harm(f"api {step}", await death(doomed))


async def submitted_in_vain(
    client: httpx.AsyncClient, doomed: RoleProcess, *, body: Mapping[str, object], key: str = ""
) -> None:
    """Submit to an API that is to die of it, and return when it has.

    Raises:
        AssertionError: it answered.
    """
    while doomed.process.poll() is None:
        try:
            answer = await client.post("/tasks", json=body, headers={"Idempotency-Key": key} if key else {})
        except httpx.HTTPError:
            await asyncio.sleep(0.02)  # it does not listen yet, or any more
        else:
            raise AssertionError(f"the API was to die and answered {answer.status_code}")


def _fault(role: str, step: str) -> Fault:
    match role:
        case "worker":
            return partial(worker_dies, step=step)
        case "api":
            return partial(api_dies, step=step)
        case "scheduler" if "failed" in step:
            return partial(sweeper_dies, step=step)
        case _:
            return partial(single_role_dies, role=role, step=step)


EXACT_FAULTS: dict[str, Fault] = {
    f"{role} {step}": _fault(role, step) for role, steps in STEPS.items() for step in steps
}
