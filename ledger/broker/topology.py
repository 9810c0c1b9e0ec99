"""The topology: every exchange, queue, routing key and queue argument of the broker, in one place.

`ledger.events` (topic) carries every event. A task queue `q` has three work queues, one a band, bound to
`q.ready.<band>.#`, and one dead-letter queue, bound to `q` on `ledger.dead` (direct):

    ledger.events ── q.ready.high.#   ──▶ tasks.q.high   ┐
                  ── q.ready.normal.# ──▶ tasks.q        ├── dead letters ──▶ ledger.dead ── q ──▶ tasks.q.dead
                  ── q.ready.low.#    ──▶ tasks.q.low    ┘
"""

import re

from ledger.broker.port import Band
from ledger.specification import QUEUE_PATTERN

EVENTS_EXCHANGE = "ledger.events"
DEAD_EXCHANGE = "ledger.dead"

# No dots: a dot separates the words of a routing key, so a queue named `a.ready` could catch the events of `a`.
_QUEUE_NAME = re.compile(QUEUE_PATTERN)

# The bands in the order in which they are served.
BANDS = (Band.HIGH, Band.NORMAL, Band.LOW)
_BANDS_BY_NAME = {band.value: band for band in BANDS}

# How often a message may come back before it is a dead letter. A worker acks right after it appended Started, so
# only a crash between receiving and appending brings a message back; twenty of them are a crash loop. RabbitMQ
# itself counts to 20 from 4.0 on and for ever before; the same number everywhere keeps the servers alike.
DELIVERY_LIMIT = 20

# Why a message was rejected, in the headers of the dead letter; what is longer is cut.
REASON_HEADER = "ledger-reason"
REASON_CHARS_MAX = 1000

# The cause of a dead letter that a consumer rejected; RabbitMQ's own word for it too.
REJECTED = "rejected"

_Arguments = dict[str, str | int]


def band_of(*, queue: str, routing_key: str) -> Band | None:
    """Return the band whose work queue is bound to a routing key, or None where no work queue is."""
    words = routing_key.split(".", 3)
    if len(words) < 3 or words[0] != queue or words[1] != "ready":  # noqa: PLR2004 - <queue>.ready.<band>
        return None
    return _BANDS_BY_NAME.get(words[2])


def work_queue(queue: str, band: Band) -> str:
    """Return the name of a task queue's work queue for a band."""
    return f"tasks.{queue}" if band is Band.NORMAL else f"tasks.{queue}.{band.value}"


def work_binding(queue: str, band: Band) -> str:
    """Return the binding key of a work queue on the events exchange."""
    return f"{queue}.ready.{band.value}.#"


def dead_queue(queue: str) -> str:
    """Return the name of a task queue's dead-letter queue; it is bound to `queue` on the dead exchange."""
    return f"tasks.{queue}.dead"


def work_queue_arguments(queue: str) -> _Arguments:
    """Return the arguments of a work queue.

    A queue's arguments can never be changed (406), so only what a ledger cannot do without is one of them;
    lengths, group sizes and memory are the operator's to set by policy. Arguments are what no policy can be
    relied upon for: an ordinary AMQP connection cannot set policies.
    """
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-routing-key": queue,
        # The broker itself dead-letters what came back too often. At-least-once needs reject-publish, else it is
        # silently at-most-once; and where an operator bounds the length, a refused publish is tried again,
        # while the default (drop the head) would lose a task that the ledger believes published.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        # If a policy sets it too, the lower of both counts.
        "x-delivery-limit": DELIVERY_LIMIT,
    }


def dead_queue_arguments() -> _Arguments:
    """Return the arguments of a dead-letter queue."""
    # From 4.0 on a queue without a limit drops a message that was looked at and put back 20 times; dead letters
    # are there to be looked at, and behind them there is no other queue. -1 is refused by older servers.
    return {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
