"""Health: liveness touches nothing, readiness tells what is wrong, and an outage is a 503 with a Retry-After."""

from ledger.broker.memory import MemoryBroker
from ledger.errors import BrokerUnavailableError
from ledger.migrate import migrate, shipped_migrations
from tests.integration.api_given import UNKNOWN_ID, assert_problem, client_of, opened_api, submitted
from tests.services.private_postgres import PrivatePostgres


async def test_a_ready_process_says_what_it_checked(database_url: str) -> None:
    async with opened_api(database_url) as (_, client):
        response = await client.get("/health/ready")

    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "checks": {
            "database": {"status": "ok"},
            "schema": {"status": "ok", "version": shipped_migrations()[-1].number, "missing": 0},
            "lag_events": {"follow_ups": 0},
        },
    }


async def test_readiness_counts_the_events_before_each_reader(database_url: str) -> None:
    async with opened_api(database_url) as (ledger, client):
        for _ in range(3):
            await submitted(client)
        async with ledger.database.connection() as connection:
            await connection.execute(
                "INSERT INTO ledger.checkpoints (name, position) SELECT name, coalesce(position, 0) FROM (VALUES"
                " ('behind', 0), ('here', (SELECT max(position) FROM ledger.events))) AS given (name, position)"
            )

        checks = (await client.get("/health/ready")).json()["checks"]

    assert checks["lag_events"] == {"behind": 3, "here": 0, "follow_ups": 3}


async def test_a_schema_that_is_behind_is_not_ready(empty_database_url: str) -> None:
    async with opened_api(empty_database_url) as (_, client):
        before = await client.get("/health/ready")
        await migrate(empty_database_url)
        after = await client.get("/health/ready")

    assert_problem(before, 503, "Not ready")
    assert before.json()["checks"]["schema"]["missing"] == len(shipped_migrations())
    assert after.status_code == 200


async def test_a_broker_out_of_reach_degrades_and_still_serves(database_url: str) -> None:
    async with opened_api(database_url) as (ledger, _):
        async with client_of(ledger, MemoryBroker()) as client:
            reached = (await client.get("/health/ready")).json()
        async with client_of(ledger, _BrokerThatIsDown()) as client:
            down = await client.get("/health/ready")

    assert (reached["status"], reached["checks"]["broker"]) == ("ready", {"status": "ok"})
    assert down.status_code == 200
    assert (down.json()["status"], down.json()["checks"]["broker"]) == ("degraded", {"status": "unavailable"})


async def test_an_outage_of_the_database_is_told_and_ends_by_itself(private_postgres: PrivatePostgres) -> None:
    await migrate(private_postgres.url)
    async with opened_api(private_postgres.url, connect_timeout_seconds=1) as (_, client):
        task_id = await submitted(client)
        private_postgres.kill()

        for response in (
            await client.post("/tasks", json={"input": 1}),
            await client.get(f"/tasks/{task_id}/status"),
            await client.get(f"/tasks/{task_id}/events"),
            await client.get("/tasks"),
            await client.post(f"/tasks/{task_id}/cancel"),
        ):
            assert_problem(response, 503, "Service unavailable")
            assert response.headers["retry-after"] == "1"
            assert "postgres" not in response.text
        assert_problem(await client.get("/health/ready"), 503, "Not ready")
        assert (await client.get("/health")).content == b'{"status":"ok"}'

        private_postgres.start()
        assert (await client.get(f"/tasks/{task_id}/status")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200


async def test_what_the_database_refuses_is_a_500_that_tells_nothing(empty_database_url: str) -> None:
    async with opened_api(empty_database_url) as (_, client):
        for response in (
            await client.post("/tasks", json={"input": 1}),
            await client.post("/tasks", json={"input": 1}, headers={"Origin": "http://localhost:3000"}),
            await client.get(f"/tasks/{UNKNOWN_ID}/events"),
        ):
            assert_problem(response, 500, "Internal server error")
            assert "relation" not in response.text
            assert "ledger.events" not in response.text


class _BrokerThatIsDown(MemoryBroker):
    async def ping(self) -> None:
        raise BrokerUnavailableError("the broker is out of reach")
