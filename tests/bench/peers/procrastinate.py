"""Procrastinate on Postgres.

- A job is a row of `procrastinate_jobs`, committed when `defer` returns.
- Enqueue: `defer_async`, many at once over a pool of psycopg 3 (its binary package); tried with 4, 10 and 20
  connections: 1,500, 1,400 and 1,100/s.
- Batch: `batch_defer_async`, one transaction a call.
- Drain: one worker with `concurrency` coroutines; LISTEN/NOTIFY is on, finished jobs stay (the default).
- What it records: the job with its status, and by triggers a row of `procrastinate_events` for each change of it
  (deferred, started, succeeded, …): type and time, without arguments or results.
"""

from tests.bench.peers.peer import JobName, Peer, Task

PROCRASTINATE = Peer(
    name="procrastinate",
    requirements=("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"),
    program="tests.bench.peers.programs.procrastinate_jobs",
    jobs={
        JobName.ENQUEUE: Task(
            4000, "defer_async, 64 at once over 4 connections", {"concurrency": "64", "connections": "4"}
        ),
        JobName.BATCH: Task(40_000, "batch_defer_async of 1,000", {"batch": "1000"}),
        JobName.DRAIN: Task(
            1500, "concurrency 20 over 10 connections", {"concurrency": "20", "connections": "10", "batch": "1000"}
        ),
    },
    durability="Postgres, committed",
    records="the job, and an event without content for each change",
    is_prepared=True,
)
