"""The one page where the names of metrics, spans and log fields are kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric does: it only grows, it goes up and down, or it sorts durations into buckets."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Role(StrEnum):
    """Which process a metric comes from; `up` has all of them but the doctor's."""

    API = "api"
    RELAY = "relay"
    PROJECTOR = "projector"
    SCHEDULER = "scheduler"
    WORKER = "worker"
    DOCTOR = "doctor"
    UP = "up"


# Upper bounds in seconds; what is longer than the last one counts under +Inf.
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)

PROCESSES = (Role.API, Role.RELAY, Role.PROJECTOR, Role.SCHEDULER, Role.WORKER)
_WRITERS = (Role.API, Role.SCHEDULER, Role.WORKER)
# Whoever tells of the whole ledger; every one of them tells the same, so take the maximum, never the sum.
_OVERSEERS = (Role.API, Role.SCHEDULER)
_WITH_BROKER = (Role.RELAY, Role.WORKER)


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A metric: its name with its unit, its kind, a sentence for whoever reads it, and where it comes from.

    Attributes:
        buckets: the upper bounds of a histogram, in seconds.
    """

    name: str
    kind: Kind
    help: str
    roles: tuple[Role, ...]
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def is_of(self, role: Role) -> bool:
        """Say whether a process of this role tells it."""
        return role in self.roles or (role is Role.UP and self.roles != (Role.DOCTOR,))


UP = Metric("ledger_up", Kind.GAUGE, "Whether the database answers.", PROCESSES)
OBSERVED = Metric(
    "ledger_observed", Kind.GAUGE,
    "Whether every question about the whole ledger was answered in time; at 0 some of its gauges are missing.",
    _OVERSEERS,
)  # fmt: skip
BUILD_INFO = Metric(
    "ledger_build_info", Kind.GAUGE, "Always 1: which release runs, and as what.", PROCESSES,
    ("version", "python", "role"),
)  # fmt: skip
POOL_CONNECTIONS = Metric(
    "ledger_pool_connections", Kind.GAUGE,
    "Connections of the process's pool: busy, idle, and max that it may have.", PROCESSES, ("state",),
)  # fmt: skip
BROKER_CONNECTED = Metric("ledger_broker_connected", Kind.GAUGE, "Whether the broker answers.", _WITH_BROKER)
LEADER = Metric(
    "ledger_leader", Kind.GAUGE, "Whether this process leads the role, or a shard of the relay: 1, else 0.",
    (Role.RELAY, Role.SCHEDULER), ("role",),
)  # fmt: skip

QUEUE_TASKS = Metric(
    "ledger_queue_tasks", Kind.GAUGE,
    "Tasks of a queue: ready, waiting for their time, held back (paused, limit, after), running, and dead: failed"
    " for good or without a taker, counted up to 10,000 over all queues.",
    _OVERSEERS, ("queue", "state"),
)  # fmt: skip
OLDEST_READY_SECONDS = Metric(
    "ledger_oldest_ready_seconds", Kind.GAUGE, "How long the task has been ready that has been so for longest.",
    _OVERSEERS, ("queue",),
)  # fmt: skip
LAG_EVENTS = Metric(
    "ledger_lag_events", Kind.GAUGE,
    "Events that a reader of the log has before it: relay, projection:NAME, follow_ups, sealer; beyond 10,000 an"
    " estimate.", _OVERSEERS, ("reader",),
)  # fmt: skip
LAG_SECONDS = Metric(
    "ledger_lag_seconds", Kind.GAUGE, "How long ago the first event was recorded that a reader has before it.",
    _OVERSEERS, ("reader",),
)  # fmt: skip
WEBHOOK_LAG = Metric(
    "ledger_webhook_lag_positions", Kind.GAUGE,
    "How many positions of the log a webhook has before it; state is active, paused or failing.",
    (*_OVERSEERS, Role.DOCTOR), ("webhook", "state"),
)  # fmt: skip
LIVE_WORKERS = Metric(
    "ledger_live_workers", Kind.GAUGE, "Workers with a heartbeat within their lease that serve a queue.",
    _OVERSEERS, ("queue",),
)  # fmt: skip
WORKER_CAPACITY = Metric(
    "ledger_worker_capacity", Kind.GAUGE, "Slots of all live workers: all of them, and those in use.", _OVERSEERS,
    ("state",),
)  # fmt: skip
# The doctor runs every check, a process only the cheap ones, once a minute (ledger.doctor).
INVARIANT_BREACHES = Metric(
    "ledger_invariant_breaches", Kind.GAUGE, "What the doctor found broken, counted up to 20 a check.",
    (*_OVERSEERS, Role.DOCTOR), ("invariant", "check"),
)  # fmt: skip

EVENTS_APPENDED = Metric(
    "ledger_events_appended_total", Kind.COUNTER, "Events that this process appended, but for those in a"
    " transaction of somebody else's.", _WRITERS, ("type",),
)  # fmt: skip
APPEND_SECONDS = Metric(
    "ledger_append_seconds", Kind.HISTOGRAM, "How long an append took that many may share (group commit).",
    _WRITERS, buckets=QUICK,
)  # fmt: skip
STALE_WRITES = Metric(
    "ledger_stale_writes_total", Kind.COUNTER, "Outcomes of attempts that no longer owned their task.",
    (Role.WORKER,),
)  # fmt: skip
HTTP_REQUESTS = Metric(
    "ledger_http_requests_total", Kind.COUNTER, "Requests that were answered.", (Role.API,),
    ("method", "route", "status"),
)  # fmt: skip
HTTP_SECONDS = Metric(
    "ledger_http_request_seconds", Kind.HISTOGRAM,
    "How long a request took until its answer began; POST /tasks is the submit.", (Role.API,),
    ("method", "route"), QUICK,
)  # fmt: skip
EVENTS_PUBLISHED = Metric(
    "ledger_events_published_total", Kind.COUNTER, "Events that the broker has confirmed.", (Role.RELAY,)
)
CONFIRM_SECONDS = Metric(
    "ledger_publish_confirm_seconds", Kind.HISTOGRAM, "How long the broker took to confirm a batch.",
    (Role.RELAY,), buckets=QUICK,
)  # fmt: skip
EVENTS_FOLDED = Metric(
    "ledger_events_folded_total", Kind.COUNTER, "Events that were folded into a read model.", (Role.PROJECTOR,),
    ("projection",),
)  # fmt: skip
WEBHOOK_DELIVERIES = Metric(
    "ledger_webhook_deliveries_total", Kind.COUNTER, "Messages to webhooks: delivered, or failed.",
    (Role.SCHEDULER,), ("outcome",),
)  # fmt: skip
DELIVERIES = Metric(
    "ledger_deliveries_total", Kind.COUNTER,
    "Messages that a worker was handed: started, passed_by (stale, or held back), or rejected.", (Role.WORKER,),
    ("queue", "outcome"),
)  # fmt: skip
QUEUED_SECONDS = Metric(
    "ledger_task_queued_seconds", Kind.HISTOGRAM, "How long a task was ready before a worker started it.",
    (Role.WORKER,), ("queue",), LONG,
)  # fmt: skip
RUN_SECONDS = Metric(
    "ledger_attempt_run_seconds", Kind.HISTOGRAM, "How long a handler ran.", (Role.WORKER,), ("kind",), LONG
)
ATTEMPTS = Metric(
    "ledger_attempts_total", Kind.COUNTER,
    "Attempts that ended: completed, cancelled, stale, or failed by error, timeout or interrupted.",
    (Role.WORKER,),
    ("kind", "outcome"),
)  # fmt: skip
RETRIES = Metric(
    "ledger_retries_total", Kind.COUNTER, "Failed attempts that another one is to follow.", (Role.WORKER,),
    ("kind",),
)  # fmt: skip
WORKER_SLOTS = Metric(
    "ledger_worker_slots", Kind.GAUGE, "Slots of this worker: busy, and max.", (Role.WORKER,), ("state",)
)
HEARTBEATS = Metric(
    "ledger_heartbeats_total", Kind.COUNTER, "Heartbeats of this worker: answered, or failed.", (Role.WORKER,),
    ("outcome",),
)  # fmt: skip

METRICS = (
    UP, OBSERVED, BUILD_INFO, POOL_CONNECTIONS, BROKER_CONNECTED, LEADER,
    QUEUE_TASKS, OLDEST_READY_SECONDS, LAG_EVENTS, LAG_SECONDS, WEBHOOK_LAG, LIVE_WORKERS, WORKER_CAPACITY,
    INVARIANT_BREACHES,
    EVENTS_APPENDED, APPEND_SECONDS, STALE_WRITES, HTTP_REQUESTS, HTTP_SECONDS, EVENTS_PUBLISHED, CONFIRM_SECONDS,
    EVENTS_FOLDED, WEBHOOK_DELIVERIES, DELIVERIES, QUEUED_SECONDS, RUN_SECONDS, ATTEMPTS, RETRIES, WORKER_SLOTS,
    HEARTBEATS,
)  # fmt: skip

# Labels whose values users choose: beyond LEDGER_METRICS_NAMES_MAX of them the value is `other`.
OPEN_LABELS = frozenset({"queue", "kind", "webhook"})

# What stands in every line of the log, and what stands in it wherever there is one.
LOG_FIELDS = {
    "timestamp": "When, in ISO 8601 and UTC; in every line.",
    "level": "debug, info, warning, error or critical; in every line.",
    "event": "What happened, as noun.participle; in every line.",
    "role": "The process's role; in every line of a role.",
    "trace_id": "The W3C trace id of what was traced.",
    "task_id": "The task.",
    "attempt": "The number of the attempt.",
    "kind": "The task's kind.",
    "queue": "The task's queue.",
    "worker_id": "The incarnation of a worker.",
    "position": "The position in the log.",
    "reason": "Why, in a sentence.",
    "exception": "The traceback of what nobody foresaw, in one field.",
    "logger": "The library that wrote the line, where it is not ours.",
}

SPAN_SUBMIT, SPAN_PUBLISH, SPAN_PROCESS, SPAN_CLAIM, SPAN_RUN = "submit", "publish", "process", "claim", "run"


def metrics_table() -> str:
    """Return the metrics as a table in Markdown, as OPERATIONS.md shows it."""
    lines = ["| metric | kind | labels | from | what it says |", "|---|---|---|---|---|"]
    for metric in METRICS:
        roles = "all" if metric.roles == PROCESSES else ", ".join(metric.roles)
        labels = ", ".join(metric.labels) or "-"
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {roles} | {metric.help} |")
    return "\n".join(lines) + "\n"


def gauge_lines(gauge: Metric, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """Return a gauge and its samples, each with its labels, as lines of the Prometheus text format (0.0.4)."""
    lines = [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
    for labels, value in samples:
        text = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        lines.append(f"{gauge.name}{{{text}}} {value:g}")
    return lines


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
