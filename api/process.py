"""The API as a process of its own."""

import asyncio
from collections.abc import Mapping

from api.app import create_app
from api.exposure import access_of
from api.server import serve
from ledger.bootstrap import broker_to_look_at, open_ledger_when_ready
from ledger.roles import start_up
from ledger.settings import load_settings
from ledger.telemetry import Role
from projections.catalogue import load_catalogue


async def run_api(stop: asyncio.Event, overrides: Mapping[str, object]) -> None:
    """Serve the API until `stop` is set.

    It needs the ledger only. The broker may be down for hours: a submit is durable without it, so neither the
    start nor the readiness of the API depends on it.
    """
    settings = start_up(load_settings(**overrides), role=Role.API)
    catalogue = load_catalogue(settings.worker_apps)
    async with (
        open_ledger_when_ready(settings, stop, role=Role.API) as ledger,
        broker_to_look_at(settings) as broker,
    ):
        app = create_app(ledger, None, await access_of(ledger), catalogue, looked_at=broker)
        await serve(app, settings, stop=stop)
