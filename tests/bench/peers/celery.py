"""Celery on RabbitMQ, set so that nothing is lost.

- Messages are persistent (the default), each publish waits for the broker's confirm (`confirm_publish`), the
  queue is a quorum queue (`task_default_queue_type`), and a message is acknowledged after its task has run
  (`task_acks_late`).
- Enqueue: `delay` from threads, each over a connection of the producer pool.
- Batch: `group(...).apply_async()`, the one call that takes many tasks; it publishes them one by one.
- Drain: one `celery worker` without gossip, mingle and heartbeat. Of the pools, `solo` was the fastest for no-op
  tasks (`solo` 6,100/s, `threads` of 16 5,100/s, `prefork` of 2 3,100/s and of 1 1,400/s, on a busy machine);
  with results in Postgres `prefork` is, because only its children keep a connection (of 2 508/s, of 8 307/s,
  `threads` 110/s).
- Enqueue was tried from 1, 8 and 32 threads: 290, 2,300 and 1,800/s.
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
