"""The error of a failed attempt as it stands in the ledger: storable, bounded, without the worker's own frames."""

import traceback
from pathlib import Path
from types import TracebackType

from ledger.jsonvalue import storable_text
from ledger.task_words import TaskError
from worker.endings import Reported
from worker.errors import HOPELESS, RetryAfter

_TYPE_CHARS_MAX = 200
_MESSAGE_CHARS_MAX = 10_000
_TRACEBACK_CHARS_MAX = 20_000
_TRACEBACK_HEAD_CHARS = 2_000
_OUR_FILES = frozenset(
    str(Path(__file__).with_name(name)) for name in ("isolated.py", "registry.py", "runs.py", "signature.py")
)


def error_of(error: BaseException) -> TaskError:
    """Return what the ledger keeps of an exception."""
    return TaskError(
        type=storable_text(type(error).__name__, chars_max=_TYPE_CHARS_MAX),
        message=storable_text(_message(error), chars_max=_MESSAGE_CHARS_MAX),
        traceback=storable_text(_traceback(error), chars_max=_TRACEBACK_CHARS_MAX),
    )


def report_of(error: BaseException) -> Reported:
    """Return all that the worker needs to know of an exception."""
    return Reported(
        error=error_of(error),
        is_hopeless=isinstance(error, HOPELESS),
        retry_after_seconds=error.seconds if isinstance(error, RetryAfter) else None,
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - the handler's exception may have a __str__ that fails
        return f"(its message cannot be shown: {type(failure).__name__})"


def _traceback(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, _handlers_frames(error.__traceback__)))
    except Exception as failure:  # noqa: BLE001 - as above
        return f"(it cannot be shown: {type(failure).__name__})"
    if len(text) <= _TRACEBACK_CHARS_MAX:
        return text
    # What is left out is the middle: the first lines say where it began, the last ones what it was.
    mark = f"\n… ({len(text)} characters) …\n"
    return text[:_TRACEBACK_HEAD_CHARS] + mark + text[len(mark) + _TRACEBACK_HEAD_CHARS - _TRACEBACK_CHARS_MAX :]


def _handlers_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code.co_filename in _OUR_FILES:
        frames = frames.tb_next
    return frames
