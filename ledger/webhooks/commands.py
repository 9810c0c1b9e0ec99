"""The webhooks as clients and operators see them: set, look, pause, resume, skip, rotate, remove.

Every change is kept with its actor and reason, in the change's own transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.history.search import LogSearch
from ledger.jsonvalue import storable_text
from ledger.queries import query
from ledger.specification import check_range
from ledger.store.records import Origin, RecordedEvent
from ledger.webhooks.endpoint import (
    Webhook,
    WebhookDefinition,
    WebhookStart,
    WebhookState,
    check_definition,
    check_name,
)
from ledger.webhooks.errors import WebhookNotFoundError, WebhookStateError
from ledger.webhooks.locked import REASON_CHARS_MAX, changed_webhook, check_known, locked_webhook, record_change
from ledger.webhooks.rows import (
    DeliveryNote,
    WebhookChange,
    definition_text,
    filter_text,
    insert_delivery,
    webhook_of,
)
from ledger.webhooks.signature import check_secret, generate_secret

ROTATION_SECONDS_MAX = 2_592_000


@dataclass(frozen=True, slots=True)
class Kept:
    """An endpoint that was set; the secret only where it was made just now, and never again."""

    webhook: Webhook
    created: bool
    secret: str | None = None


class Webhooks:
    """Everything that a client or an operator can ask of the webhooks."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._settings = ledger.settings
        self._search = LogSearch(ledger)

    async def put(
        self,
        name: str,
        definition: WebhookDefinition,
        *,
        start: WebhookStart | int = WebhookStart.NOW,
        secret: str | None = None,
        reason: str,
        origin: Origin,
    ) -> Kept:
        """Make an endpoint, or change the one there is; setting what is set already changes nothing.

        Where it starts, and its secret, count only when it is made: `rotate` changes the secret.

        Raises:
            InvalidValueError: a field is out of its bound, or there are LEDGER_WEBHOOKS_MAX already.
        """
        check_name(name)
        check_definition(definition, allow_private=self._settings.webhook_allow_private)
        if secret is not None:
            check_secret(secret)
        position = await self._position(start)
        async with locked_webhook(self._database, name) as locked:
            known = locked.webhook
            if known is not None:
                if definition_text(known.definition) == definition_text(definition):
                    return Kept(known, created=False)
                await locked.connection.execute(query("update_webhook"), name, *_columns(definition))
                return Kept(await changed_webhook(locked, "changed", reason, origin), created=False)
            await self._check_room(locked.connection)
            await locked.connection.execute(query("insert_webhook"), name, *_columns(definition), position)
            made = secret or generate_secret()
            await locked.connection.execute(query("insert_webhook_secret"), name, made)
            webhook = await changed_webhook(locked, "created", reason, origin)
        return Kept(webhook, created=True, secret=None if secret else made)

    async def find(self, name: str) -> Webhook:
        """Return an endpoint; raises WebhookNotFoundError where there is none."""
        check_known(name)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("find_webhook"), name)
        if row is None:
            raise WebhookNotFoundError(name)
        return webhook_of(row)

    async def list(self, *, after: str, limit: int) -> Sequence[Webhook]:
        """Return the endpoints by name, after a name."""
        async with self._database.connection() as connection:
            return [webhook_of(row) for row in await connection.fetch(query("list_webhooks"), after, limit)]

    async def horizon(self) -> int:
        """Return the position up to which the log can be sent."""
        return await self._search.horizon()

    async def remove(self, name: str, *, reason: str, origin: Origin) -> None:
        """Remove an endpoint with its secrets; its log and its changes stay.

        Raises:
            WebhookNotFoundError: there is none of this name.
        """
        async with locked_webhook(self._database, name) as locked:
            await record_change(locked, "removed", locked.known, reason, origin)
            await locked.connection.execute(query("delete_webhook"), name)

    async def pause(self, name: str, *, reason: str, origin: Origin) -> Webhook:
        """Send no more events until it is resumed; they stay in the log."""
        return await self._turn(name, WebhookState.PAUSED, reason=reason, origin=origin)

    async def resume(self, name: str, *, reason: str, origin: Origin) -> Webhook:
        """Go on where it stands, at once and with a fresh count of failures."""
        return await self._turn(name, WebhookState.ACTIVE, reason=reason, origin=origin)

    async def skip(self, name: str, event_id: str, *, reason: str, origin: Origin) -> Webhook:
        """Leave out the next event that would be sent; it has to be this one.

        Raises:
            WebhookNotFoundError: there is no endpoint of this name.
            WebhookStateError: another event is next, or none.
            InvalidValueError: there is no reason.
        """
        if not reason.strip():
            raise InvalidValueError(
                field="reason", bound="given: an event that is left out is explained", value=""
            )
        before = await self.find(name)
        following = await self._next_event(before)
        if following is None or following.event_id != event_id:
            which = "no event is next" if following is None else f"the next event is {following.event_id}"
            raise WebhookStateError(name=name, command=f"skip {event_id} of", reason=which)
        async with locked_webhook(self._database, name) as locked:
            webhook = locked.known
            moved = await locked.connection.fetchval(
                query("skip_webhook_event"), name, webhook.position, following.position
            )
            if moved is None or webhook.position >= following.position or webhook.revision != before.revision:
                raise WebhookStateError(
                    name=name, command=f"skip {event_id} of", reason="it has moved on meanwhile"
                )
            kept = storable_text(reason, chars_max=REASON_CHARS_MAX)
            position = (following.position, following.position)
            note = DeliveryNote(
                webhook=name, kind="event", message_id=event_id, positions=position, events=1, outcome="skipped",
                actor=origin.actor, reason=kept,
            )  # fmt: skip
            await insert_delivery(locked.connection, note)
            return await changed_webhook(locked, "skipped", f"{event_id}: {reason}", origin)

    async def rotate(
        self, name: str, *, secret: str | None, overlap_seconds: float | None, reason: str, origin: Origin
    ) -> Kept:
        """Sign with another secret from now on, and with the one before as well for a while.

        Raises:
            WebhookNotFoundError: there is none of this name.
            InvalidValueError: the secret is none, or the while is out of its bound.
        """
        if secret is not None:
            check_secret(secret)
        check_range("overlap_s", overlap_seconds, 0, ROTATION_SECONDS_MAX)
        seconds = self._settings.webhook_rotation_seconds if overlap_seconds is None else overlap_seconds
        made = secret or generate_secret()
        async with locked_webhook(self._database, name) as locked:
            _ = locked.known
            await locked.connection.execute(query("drop_retired_webhook_secrets"), name)
            await locked.connection.execute(query("retire_webhook_secrets"), name, float(seconds))
            await locked.connection.execute(query("insert_webhook_secret"), name, made)
            webhook = await changed_webhook(locked, "rotated", reason, origin)
        return Kept(webhook, created=False, secret=None if secret else made)

    async def changes(self, name: str, *, before: int | None, limit: int) -> Sequence[WebhookChange]:
        """Return a page of the changes of the endpoints that have or had this name, newest first, before an id."""
        check_known(name)
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("read_webhook_changes"), name, before, limit)
        return [WebhookChange(*row) for row in rows]

    async def _turn(self, name: str, state: WebhookState, *, reason: str, origin: Origin) -> Webhook:
        change = "resumed" if state is WebhookState.ACTIVE else "paused"
        async with locked_webhook(self._database, name) as locked:
            if locked.known.state is state:
                return locked.known
            told = storable_text(reason, chars_max=REASON_CHARS_MAX) if state is WebhookState.PAUSED else ""
            await locked.connection.execute(query("turn_webhook"), name, state, told)
            return await changed_webhook(locked, change, reason, origin)

    async def _position(self, start: WebhookStart | int) -> int:
        if start is WebhookStart.BEGINNING:
            return 0
        horizon = await self._search.horizon()
        if start is WebhookStart.NOW:
            return horizon
        check_range("start", start, 0, horizon)
        return int(start)

    async def _next_event(self, webhook: Webhook) -> RecordedEvent | None:
        after = webhook.position
        while True:
            found = await self._search.read(webhook.definition.wanted, after=after, limit=1)
            if found.events:
                return found.events[0]
            if found.next_after >= found.horizon:
                return None
            after = found.next_after

    async def _check_room(self, connection: asyncpg.Connection) -> None:
        count, most = await connection.fetchval(query("count_webhooks")), self._settings.webhooks_max
        if count >= most:
            raise InvalidValueError(
                field="webhooks", bound=f"at most {most} (LEDGER_WEBHOOKS_MAX)", value=count + 1
            )


def _columns(definition: WebhookDefinition) -> tuple[object, ...]:
    return definition.url, filter_text(definition), definition.batch_max
