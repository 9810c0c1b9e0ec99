"""PgQueuer on Postgres.

- A job is a row of `pgqueuer`, committed when `enqueue` returns; the tables are logged (`durable`, the default).
- Enqueue: `Queries.enqueue`, many at once over a pool of asyncpg, on uvloop; tried with 4, 10 and 20
  connections: 2,200, 1,800 and 1,300/s.
- Batch: `Queries.enqueue` with lists, one statement a call.
- Drain: one `PgQueuer.run`, which takes `batch_size` jobs a statement and writes outcomes in batches as large.
  Tried: 10 (the default), 100 and 500: 4,500, 17,300 and 17,900/s.
- What it records: the job is deleted when it is done; `pgqueuer_log` has a row for each change (queued, picked,
  successful, …), which a background task folds into counts an entrypoint, status and second.
"""

from tests.bench.peers.peer import JobName, Peer, Task

PGQUEUER = Peer(
    name="pgqueuer",
    requirements=("pgqueuer[asyncpg]==1.6.0", "uvloop==0.23.0"),
    program="tests.bench.peers.programs.pgqueuer_jobs",
    jobs={
        JobName.ENQUEUE: Task(
            8000, "enqueue, 64 at once over 4 connections", {"concurrency": "64", "connections": "4"}
        ),
        JobName.BATCH: Task(150_000, "enqueue of lists of 1,000", {"batch": "1000"}),
        JobName.DRAIN: Task(
            40_000,
            "batch_size 100 over 10 connections",
            {"batch_size": "100", "connections": "10", "batch": "1000"},
        ),
    },
    durability="Postgres, committed",
    records="a log row for each change, folded into counts later",
    is_prepared=True,
)
