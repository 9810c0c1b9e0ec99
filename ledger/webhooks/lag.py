"""How far each endpoint lies behind the log, as a metric."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.bootstrap import Ledger
from ledger.telemetry import WEBHOOK_LAG, gauge_lines
from ledger.webhooks.commands import Webhooks


@dataclass(frozen=True, slots=True)
class WebhookLag:
    """How many positions of the log an endpoint has before it."""

    webhook: str
    state: str
    positions: int


async def lags(ledger: Ledger) -> Sequence[WebhookLag]:
    """Return how far each endpoint lies behind."""
    webhooks = Webhooks(ledger)
    found = await webhooks.list(after="", limit=ledger.settings.webhooks_max)
    horizon = await webhooks.horizon()
    return [WebhookLag(one.name, one.state, max(0, horizon - one.position)) for one in found]


async def lag_metric(ledger: Ledger) -> list[str]:
    """Return how many positions each endpoint has before it, as the lines of a gauge."""
    samples = [({"webhook": one.webhook, "state": one.state}, one.positions) for one in await lags(ledger)]
    return gauge_lines(WEBHOOK_LAG, samples)
