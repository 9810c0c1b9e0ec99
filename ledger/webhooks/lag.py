"""How far each endpoint lies behind the log, as a metric."""

from ledger.bootstrap import Ledger
from ledger.telemetry import WEBHOOK_LAG, gauge_lines
from ledger.webhooks.commands import Webhooks


async def lag_metric(ledger: Ledger) -> list[str]:
    """Return how many positions each endpoint has before it, as the lines of a gauge."""
    webhooks = Webhooks(ledger)
    found = await webhooks.list(after="", limit=ledger.settings.webhooks_max)
    horizon = await webhooks.horizon()
    samples = [({"webhook": one.name, "state": one.state}, max(0, horizon - one.position)) for one in found]
    return gauge_lines(WEBHOOK_LAG, samples)
