"""taskiq on RabbitMQ by taskiq-aio-pika.

- Messages are persistent, the queue is a quorum queue (the default of taskiq-aio-pika 0.6), each publish waits
  for the broker's confirm (aio-pika's default), and a message is acknowledged when its task has run
  (`when_executed`).
- Enqueue: `kiq`, many at once over the broker's one channel, on uvloop; tried with 64 and 256: 10,700 and
  8,600/s.
- Batch: it has none.
- Drain: one `taskiq worker` with one worker process, which runs async tasks at once up to `--max-async-tasks`.
  Tried: 50 and 200 at once with a prefetch of 100 and 500: 5,400 to 5,700/s, no difference.
- What it records: nothing, without a result backend.
"""

from tests.bench.peers.peer import JobName, Peer, Task

TASKIQ = Peer(
    name="taskiq",
    requirements=("taskiq==0.13.0", "taskiq-aio-pika==0.6.1", "uvloop==0.23.0"),
    program="tests.bench.peers.programs.taskiq_jobs",
    jobs={
        JobName.ENQUEUE: Task(30_000, "kiq, 64 at once", {"concurrency": "64"}),
        JobName.DRAIN: Task(
            15_000,
            "one process, 100 tasks at once, prefetch 200",
            {"workers": "1", "concurrency": "100", "prefetch": "200"},
        ),
    },
    durability="RabbitMQ, quorum queue, confirmed",
    records="nothing",
    fill=JobName.ENQUEUE,
)
