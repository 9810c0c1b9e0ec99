"""What goes past the layers for browsers is answered as through them."""

import httpx
import pytest

from ledger.bootstrap import Ledger
from tests.integration.given import caught_up, submitted

ORIGIN = {"Origin": "http://localhost:3000"}


@pytest.mark.parametrize("what", ["status", "events"])
@pytest.mark.parametrize("change", ["", "x"], ids=["a task", "no task"])
async def test_a_read_in_the_fast_lane_is_answered_as_one_of_a_browser(
    client: httpx.AsyncClient, ledger: Ledger, what: str, change: str
) -> None:
    (task_id,) = await submitted(ledger)
    await caught_up(ledger)
    path = f"/tasks/{task_id}/{what}" if not change else f"/tasks/{str(task_id)[:-4]}0000/{what}"

    fast = await client.get(path)
    slow = await client.get(path, headers=ORIGIN)

    assert (fast.status_code, fast.json()) == (slow.status_code, slow.json())
    assert fast.status_code == (404 if change else 200)
    beyond_both = ("vary", "access-control-allow-origin", "access-control-expose-headers")
    assert fast.headers.multi_items() == [one for one in slow.headers.multi_items() if one[0] not in beyond_both]


async def test_a_read_in_the_fast_lane_keeps_its_conditions_and_is_metered_by_its_route(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    (task_id,) = await submitted(ledger)
    await caught_up(ledger)
    known = (await client.get(f"/tasks/{task_id}/status")).headers["ETag"]

    unchanged = await client.get(f"/tasks/{task_id}/status", headers={"If-None-Match": known})
    with_query = await client.get(f"/tasks/{task_id}/status?as_of_version=1")

    assert (unchanged.status_code, with_query.status_code) == (304, 200)
    metrics = (await client.get("/metrics")).text
    assert 'method="GET",route="/tasks/{task_id}/status",status="304"' in metrics
