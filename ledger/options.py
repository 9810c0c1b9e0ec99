"""The options that commands of every folder have."""

from typing import Annotated

import typer

from ledger.envelope import note_json

DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", envvar="DATABASE_URL", help="The Postgres to use.")
]
RabbitmqUrl = Annotated[
    str | None, typer.Option("--rabbitmq-url", envvar="RABBITMQ_URL", help="The RabbitMQ to use.")
]
# Eager: whoever asked for JSON is told in JSON what is wrong with the other options.
AsJson = Annotated[
    bool, typer.Option("--json", is_eager=True, callback=note_json, help="Print one JSON object, the envelope.")
]
AsLines = Annotated[
    bool,
    typer.Option(
        "--json",
        is_eager=True,
        callback=note_json,
        help="Print each event as JSON on a line, then the envelope.",
    ),
]
