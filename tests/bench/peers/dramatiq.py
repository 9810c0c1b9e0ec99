"""Dramatiq on RabbitMQ.

- Messages are persistent and queues durable, always; `confirm_delivery` is on, so each send waits for the
  broker. Its queues are classic ones: it knows no other type. A message is acknowledged after its actor has run.
- Enqueue: `send` from threads, each over a channel of its own; tried with 1, 8 and 32: 1,100, 2,900 and 3,200/s,
  and once more 2,800 and 4,900/s with 8 and 32.
- Batch: `group(...).run()`, the one call that takes many messages; it sends them one by one.
- Drain: one `dramatiq` with one process; it prefetches two messages a thread by default, more by an environment
  variable. Tried: 2, 8 and 32 threads 6,000, 5,200 and 7,700/s; with a prefetch of 256, 2 and 8 threads 10,600
  and 6,000/s.
- What it records: nothing (a result backend would be Redis or Memcached).
"""

from tests.bench.peers.peer import JobName, Peer, Task

DRAMATIQ = Peer(
    name="dramatiq",
    requirements=("dramatiq[rabbitmq]==2.2.0",),
    program="tests.bench.peers.programs.dramatiq_jobs",
    jobs={
        JobName.ENQUEUE: Task(8000, "send, 32 threads", {"concurrency": "32"}),
        JobName.BATCH: Task(2000, "groups of 1,000", {"batch": "1000"}),
        JobName.DRAIN: Task(
            15_000,
            "one process of 2 threads, prefetch 256",
            {"processes": "1", "threads": "2"},
            {"dramatiq_queue_prefetch": "256"},
        ),
    },
    durability="RabbitMQ, durable classic queue, confirmed",
    records="nothing",
    fill=JobName.ENQUEUE,
)
