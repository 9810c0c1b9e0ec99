"""Logs as events with fields, metrics as text, and the one page where their names are kept."""

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TextIO, cast

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class Gauge:
    """A metric that goes up and down: its name, and a sentence for whoever reads it."""

    name: str
    help: str


# Labels: invariant (its number), check (its name).
INVARIANT_BREACHES = Gauge("ledger_invariant_breaches", "What the doctor found broken, counted up to 20 a check.")

# Labels: webhook (its name), state (active, paused or failing).
WEBHOOK_LAG = Gauge("ledger_webhook_lag_positions", "How many positions of the log a webhook has before it.")


def gauge_lines(gauge: Gauge, samples: Iterable[tuple[Mapping[str, str], float]]) -> list[str]:
    """Return a gauge and its samples, each with its labels, as lines of the Prometheus text format (0.0.4)."""
    lines = [f"# HELP {gauge.name} {gauge.help}", f"# TYPE {gauge.name} gauge"]
    for labels, value in samples:
        text = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels.items())
        lines.append(f"{gauge.name}{{{text}}} {value:g}")
    return lines


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def configure_logging(*, log_format: str = "console", level: str = "info") -> None:
    """Send every log line to standard error: for people, or as one JSON object a line; it may be called again."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=32)
    )
    for chatty in ("aiormq", "aio_pika"):  # they print a traceback for every lost connection; we log one line
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", StandardError())),  # all that a printer needs
        # A logger that keeps what it was first configured with would not hear of another call, nor of a test's.
        cache_logger_on_first_use=False,
    )


class StandardError:
    """Standard error as it is when something is written, since whoever runs us in process may replace it."""

    def write(self, text: str) -> int:
        """Write to the standard error of this moment."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush the standard error of this moment."""
        sys.stderr.flush()
