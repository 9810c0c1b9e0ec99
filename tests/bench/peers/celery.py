"""Celery on RabbitMQ, as its documentation asks for where nothing may be lost.

- Messages are persistent (the default), each publish waits for the broker's confirm (`confirm_publish`), the
  queue is a quorum queue (`task_default_queue_type`), and a message is acknowledged after its task has run
  (`task_acks_late`).
- Enqueue: `delay` from threads, each over a connection of the producer pool.
- Batch: `group(...).apply_async()`, the one call that takes many tasks; it publishes them one by one.
- Drain: one `celery worker` with the pool `threads` or `prefork`, without gossip, mingle and heartbeat.
- What it records: without a result backend nothing. With the backend for databases one row a task in
  `celery_taskmeta`: state, result, when it was done; written before the message is acknowledged. No history.
"""

from tests.bench.peers.peer import JobName, Peer, Task

_VERSION = "celery==5.7.0"
_PROGRAM = "tests.bench.peers.programs.celery_jobs"
_DURABILITY = "RabbitMQ, quorum queue, confirmed"

CELERY = Peer(
    name="celery",
    requirements=(_VERSION,),
    program=_PROGRAM,
    jobs={
        JobName.ENQUEUE: Task(6000, "delay, 8 threads", {"concurrency": "8", "connections": "8"}),
        JobName.BATCH: Task(2000, "groups of 1,000", {"batch": "1000"}),
        JobName.DRAIN: Task(
            10_000, "solo pool, prefetch 128", {"pool": "solo", "concurrency": "1", "prefetch": "128"}
        ),
    },
    durability=_DURABILITY,
    records="nothing",
    fill=JobName.ENQUEUE,
)
CELERY_RESULTS = Peer(
    name="celery-results",
    requirements=(_VERSION, "SQLAlchemy==2.1.9", "psycopg2-binary==2.9.13"),
    program=_PROGRAM,
    jobs={
        JobName.DRAIN: Task(
            1500,
            "prefork pool of 2, prefetch 64 each, results in Postgres",
            {"pool": "prefork", "concurrency": "2", "prefetch": "64", "results": "postgres"},
        ),
    },
    durability=_DURABILITY,
    records="state and result of each task",
    fill=JobName.ENQUEUE,
)
