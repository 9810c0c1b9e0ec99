"""Webhooks over HTTP: set, shown, turned, refused; a secret is shown once and stands in no other answer."""

from ledger.webhooks.dispatcher import Dispatcher
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.webhooks_given import TEST_SETTINGS, receiving


async def test_a_webhook_lives_its_whole_life_over_http(database_url: str) -> None:
    async with opened_api(database_url, **TEST_SETTINGS) as (ledger, client), receiving() as receiver:
        body = {
            "url": receiver.url,
            "filter": {"types": ["task.submitted"]},
            "start": "beginning",
            "reason": "new",
        }
        made = await client.put("/webhooks/hook", json=body)
        again = await client.put("/webhooks/hook", json=body)
        task_id = await submitted(client)
        await Dispatcher(ledger).run_once()
        log = (await client.get("/webhooks/hook/deliveries?outcome=delivered")).json()
        redelivered = await client.post(f"/webhooks/hook/deliveries/{log['deliveries'][0]['id']}/redeliver")
        tested = await client.post("/webhooks/hook/test")
        rotated = await client.post("/webhooks/hook/rotate", json={"overlap_s": 5})
        paused = await client.post("/webhooks/hook/pause", json={"reason": "a visit"})
        resumed = await client.post("/webhooks/hook/resume")
        shown = await client.get("/webhooks/hook")
        listed = await client.get("/webhooks")
        removed = await client.delete("/webhooks/hook?reason=over")
        changes = await client.get("/webhooks/hook/changes")

        assert [made.status_code, again.status_code, removed.status_code] == [201, 200, 204]
        assert [redelivered.status_code, tested.status_code] == [202, 202]
        assert receiver.ids == [f"{task_id}:1"]
        assert [one["message_id"] for one in log["deliveries"]] == [f"{task_id}:1"]
        assert paused.json()["explanation"].startswith("It is paused: a visit. Nothing is lost")
        assert (resumed.json()["state"], shown.json()["lag"]) == ("active", 0)
        assert listed.json() == {"webhooks": [shown.json()], "next_after": None}
        kinds = [one["change"] for one in changes.json()["changes"]]
        assert kinds == ["removed", "resumed", "paused", "rotated", "created"]
        secrets = [made.json()["secret"], rotated.json()["secret"]]
        assert all(secret.startswith("whsec_") for secret in secrets)
        for answer in (again, paused, shown, listed, changes, tested):
            assert "whsec_" not in answer.text


async def test_bad_input_is_a_problem_that_repeats_no_secret(database_url: str) -> None:
    url = "https://example.org/"
    refusals: tuple[tuple[dict[str, object], str], ...] = (
        ({}, "url"),
        ({"url": "http://10.0.0.1/"}, "url must be at a public address"),
        ({"url": "https://u:hunter2@example.org/"}, "url must be without credentials"),
        ({"url": url, "filter": {"types": ["task.gone"]}}, "types must be"),
        ({"url": url, "filter": {"tag": "x"}}, "unknown field: filter.tag"),
        ({"url": url, "start": "soon"}, "start must be"),
        ({"url": url, "start": 10**18}, "start must be"),
        ({"url": url, "secret": "hunter2"}, "secret must be"),
        ({"url": url, "batch_max": 0}, "batch_max must be"),
    )
    async with opened_api(database_url) as (_, client):
        for body, error in refusals:
            refused = await client.put("/webhooks/hook", json=body)

            assert_problem(refused, 400, f"Invalid request body: {error}")
            assert "hunter2" not in refused.text


async def test_what_is_not_there_is_not_found(database_url: str) -> None:
    async with opened_api(database_url) as (_, client):
        for verb in ("pause", "resume", "test", "rotate", "deliveries/1/redeliver"):
            assert_problem(await client.post(f"/webhooks/none/{verb}"), 404, "there is no webhook 'none'")
        assert_problem(await client.get("/webhooks/none"), 404, "there is no webhook 'none'")
        await client.put("/webhooks/hook", json={"url": "https://example.org/"})
        skipped = await client.post("/webhooks/hook/skip", json={"event_id": "x:1", "reason": "no"})
        assert_problem(skipped, 409, "cannot skip x:1 of webhook hook: no event is next")
        unknown = await client.post("/webhooks/hook/deliveries/9/redeliver")
        assert_problem(unknown, 404, "the webhook hook has no delivery 9")
