"""What the command line has told with --json."""

import json
from typing import Any


def envelope_of(output: str) -> dict[str, Any]:
    """Return the envelope that a command has printed: the last line, whatever a stream printed before it."""
    envelope = json.loads(output.splitlines()[-1])
    assert set(envelope) == {"command", "ok", "exit_code", "data", "error"}
    assert envelope["ok"] == (envelope["exit_code"] == 0) == (envelope["error"] is None)
    return dict(envelope)


def answer_of(output: str) -> Any:  # noqa: ANN401 - each command has an answer of its own
    """Return the answer of a command."""
    return envelope_of(output)["data"]
