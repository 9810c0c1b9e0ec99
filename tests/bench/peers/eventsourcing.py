"""The recorder for Postgres of the `eventsourcing` library: the event log alone, without a queue.

- An event is a row of `stored_events`, committed when `insert_events` returns. Each insert takes an EXCLUSIVE
  lock of the table, so that positions commit in order; so inserts wait for each other's commit.
- Enqueue: one event a transaction, from threads, each over a connection of the pool; the event is built before
  by hand, so neither the aggregate's nor the codec's time counts against it. Tried: 2 and 8 threads 2,500 and
  2,100/s; 1, 2 and 4, on a busier machine, 1,300, 1,700 and 800/s.
- Batch: `insert_events` of many, one transaction a call.
- Drain: it has no worker. Its ProjectionRunner stands in `tests/bench/projection_runner.py`.
- What it records: the event.
"""

from tests.bench.peers.peer import JobName, Peer, Task

EVENTSOURCING = Peer(
    name="eventsourcing",
    requirements=("eventsourcing[postgres]==9.5.6", "psycopg[binary,pool]==3.3.9"),
    program="tests.bench.peers.programs.eventsourcing_jobs",
    jobs={
        JobName.ENQUEUE: Task(6000, "insert_events of one, 2 threads", {"concurrency": "2", "connections": "2"}),
        JobName.BATCH: Task(80_000, "insert_events of 1,000", {"batch": "1000"}),
    },
    durability="Postgres, committed",
    records="the event",
    is_prepared=True,
)
