"""Logs as events with fields: one line each on standard error; their names are kept in ledger.telemetry."""

import logging
import sys
from typing import TextIO, cast

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logging(*, log_format: str = "console", level: str = "info") -> None:
    """Send every log line to standard error: for people, or as one JSON object a line; it may be called again."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=32)
    )
    # What every line gets, whoever wrote it.
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", StandardError())),  # all that a printer needs
        # A logger that keeps what it was first configured with would not hear of another call, nor of a test's.
        cache_logger_on_first_use=False,
    )
    _take_over_others(shared, renderer)


class StandardError:
    """Standard error as it is when something is written, since whoever runs us in process may replace it."""

    def write(self, text: str) -> int:
        """Write to the standard error of this moment."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush the standard error of this moment."""
        sys.stderr.flush()


class _OthersHandler(logging.StreamHandler[StandardError]):
    """Writes what libraries log in our form; a type of its own, so that a second call finds the first one's."""


def _take_over_others(shared: list[structlog.typing.Processor], renderer: structlog.typing.Processor) -> None:
    # Else a line of asyncio or uvicorn, and a traceback over many lines, would stand between the JSON objects.
    for chatty in ("aiormq", "aio_pika"):  # they print a traceback for every lost connection; we log one line
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    handler = _OthersHandler(StandardError())
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, _OthersHandler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
