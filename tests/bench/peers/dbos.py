"""DBOS on Postgres.

- A workflow is a row of `dbos.workflow_status`, committed when `enqueue` returns.
- Enqueue: `DBOSClient.enqueue` from threads, each over a connection of the pool; tried with 1, 8 and 32: 1,400,
  2,200 and 1,700/s.
- Batch: it has no call for many; `enqueue_in_transaction` puts many into one transaction of the caller's.
- Drain: one process, whose queue thread takes what `worker_concurrency` lets it at each poll (the interval is a
  setting of the queue, 1 s by default), and runs it in a pool of threads. Tried: 4, 16 and 64 threads 1,760,
  1,870 and 1,790/s; a poll of 10 ms with at most 100, 200 and 1,000 at once 1,400, 2,200 and 1,100/s, on a
  machine that was ever busier.
- What it records: the workflow with inputs, output and status, and each of its steps (a no-op workflow has
  none).
"""

from tests.bench.peers.peer import JobName, Peer, Task

DBOS = Peer(
    name="dbos",
    requirements=("dbos==3.4.0", "psycopg[binary]==3.3.9"),
    program="tests.bench.peers.programs.dbos_jobs",
    jobs={
        JobName.ENQUEUE: Task(6000, "client.enqueue, 8 threads", {"concurrency": "8"}),
        JobName.BATCH: Task(6000, "1,000 a transaction by enqueue_in_transaction", {"batch": "1000"}),
        JobName.DRAIN: Task(
            3000, "16 threads, 20 connections, poll of 0.1 s, all that waits at a poll",
            {"threads": "16", "connections": "20", "polling_seconds": "0.1", "batch": "1000"},
        ),
    },
    durability="Postgres, committed",
    records="inputs, output and status of each workflow, and its steps",
    is_prepared=True,
)  # fmt: skip
