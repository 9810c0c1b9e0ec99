"""The `taskledger` command: which commands there are, and where each is; it is imported when it is run."""

import typer

from api.later import LaterCommandLine


class Taskledger(LaterCommandLine):
    """Every command of Task Ledger."""

    sources = {  # noqa: RUF012 - nothing changes it
        "up": (
            "api.server_commands:app",
            "Run everything in this one process; needs nothing else, uses what is configured.",
        ),
        "api": ("api.server_commands:app", "Serve the HTTP API."),
        "doctor": (
            "api.server_commands:app",
            "Check what must always hold; exit code 1 and the offending ids where something does not.",
        ),
        "version": ("api.server_commands:app", "Print the version."),
        "submit": (
            "api.watch_commands:app",
            "Submit a task and print its id; with --wait the exit code is that of `task watch`.",
        ),
        "bench": (
            "api.bench_commands:app",
            "Measure a running ledger: submit tasks that do nothing over HTTP, and hear when each is COMPLETED.",
        ),
        "stats": (
            "api.read_model_commands:app",
            "Show throughput, failures and latencies: of the last hour, in total and step by step.",
        ),
        "audit": ("api.history_commands:app", "Search who did what, when and why, in the log and beside it."),
        "task": ("api.task_group:app", "Look at tasks, retry them, cancel them."),
        "bulk-acts": (
            "api.task_commands:bulk_acts",
            "Look at what is done about many dead letters or tasks.",
        ),
        "failures": ("api.read_model_commands:failures", "Look at what goes wrong, the same trouble once."),
        "ledger": ("api.past_commands:ledger", "Look at the whole ledger, as it is or as it was."),
        "events": ("api.history_commands:events", "Read the log over all tasks, follow it, export it."),
        "dlq": ("api.dlq_commands:app", "Look at dead letters, redrive them, discard them."),
        "erase": ("api.erasure_commands:erase", "Destroy the keys of what erasable tasks hold."),
        "erasure": (
            "api.erasure_commands:erasure",
            "Look at an erasure by tag; put newer secrets around the keys.",
        ),
        "queues": ("api.queue_commands:app", "Look at the queues, pause them, and set what limits them."),
        "schedules": ("api.schedule_commands:app", "Submit tasks again and again, by cron expressions."),
        "keys": ("api.key_commands:app", "Make, rotate and revoke API keys."),
        "workers": ("api.worker_commands:app", "Look at the workers, drain one, let it take again."),
        "webhooks": ("api.webhook_commands:app", "Send events to HTTP endpoints, signed, and look after them."),
        "archive": (
            "ledger.archive.cli:app",
            "Take finished months out of the log into files that the seals prove, and bring them back.",
        ),
        "scheduler": ("ledger.cli:app", "Release due tasks, sweep lost workers, reconcile lost messages."),
        "migrate": ("ledger.cli:app", "Bring the database to this release's schema."),
        "reconcile": (
            "ledger.cli:app",
            "Release ready tasks again whose message must be lost, once; the scheduler does it all the time.",
        ),
        "config": ("ledger.cli:app", "Show and check the configuration."),
        "relay": (
            "api.relay_commands:relay",
            "Publish every event of the ledger to RabbitMQ; or see how that stands.",
        ),
        "verify": (
            "ledger.seals.cli:app",
            (
                "Prove the ledger against its seals; "
                "exits with 1 and names the first event that is not what was sealed."
            ),
        ),
        "evidence": (
            "ledger.seals.cli:app",
            "Write the events of a task with their proofs and seals, for `verify --bundle`.",
        ),
        "seals": ("ledger.seals.cli:app", "Take the seals of the ledger elsewhere."),
        "projector": (
            "projections.cli:app",
            "Keep the read models up with the ledger, and carry out the runs that were asked for over HTTP.",
        ),
        "projections": ("projections.cli:app", "Look at, rebuild, verify and reset the read models."),
        "worker": (
            "worker.cli:app",
            "Run tasks. SIGTERM lets them finish (LEDGER_SHUTDOWN_GRACE_SECONDS), a second one does not.",
        ),
    }


app = typer.Typer(
    name="taskledger",
    cls=Taskledger,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold secrets
)


@app.callback()
def taskledger() -> None:
    """An event-sourced task queue: submit over REST, run on workers, prove what happened."""


def main() -> None:
    """Run the command line."""
    app()
