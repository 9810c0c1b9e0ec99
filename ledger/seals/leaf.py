r"""The leaf of an event: the bytes that a seal hashes of it, exactly, for ever.

    payload digest = SHA-256(canonical payload)
    entry          = [1, position, task_id, version, type, schema_version, kind, queue, occurred_at, recorded_at,
                      actor, correlation_id, causation_id, traceparent, payload digest]
    leaf           = SHA-256(0x00 || entry)

The entry is one JSON array in this order, in UTF-8, without white space. Its first member is the number of this
format. The task id is text in lower case with hyphens; times are integers, microseconds since 1970-01-01 UTC, null
where they are not finite; the payload digest is text, 64 hexadecimal digits in lower case; what is absent is null.

The canonical payload is the event's `data` as JSON text in UTF-8 without white space:

- the members of an object in the order of the UTF-8 bytes of their names; of a name that occurs twice, the last;
- a string with these escapes only: two characters for quotation mark, reverse solidus, backspace, tab, line feed,
  form feed and carriage return, and `\u00xx` in lower case for the other characters below U+0020;
- a number in plain decimal digits without an exponent, with as many digits after the point as it was written with
  (`1e2` is `100`, `1.10` stays `1.10`), and zero without a sign.

That is what jsonb keeps of a number, so it is the same for the text that was appended and for the text that any
server gives back, and no digit gets lost in a float. A payload that nests deeper than the encoder goes (one of
ours is 65 deep at most) is not canonical; its digest is SHA-256 over `raw`, NUL and the server's text.

A payload can be erased without breaking a seal, because the leaf holds only its digest: data that is an object of
one member, `{"$erased": digest}`, stands for the payload that had this digest. The rest of the event stays proven.
Whoever can guess a payload can tell by its digest that the guess is right; of an encrypted one, whose key is
destroyed, nobody can: then data stays as it is, and the seal too.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import orjson

from ledger.seals.merkle import leaf_hash

FORMAT = 1
# The columns of an entry in their order; `data` follows them in a row and becomes the payload digest.
COLUMNS = (
    "position", "task_id", "version", "type", "schema_version", "kind", "queue", "occurred_at", "recorded_at",
    "actor", "correlation_id", "causation_id", "traceparent",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ERASED = re.compile(r'\{"\$erased": ?"([0-9a-f]{64})"\}')
_NOT_CANONICAL = (ValueError, TypeError, RecursionError)
_EXPONENT_MAX = 150_000  # a numeric of Postgres has fewer digits; more would only fill the memory


def leaves_of(rows: Iterable[Iterable[object]]) -> list[bytes]:
    """Return the leaf of each row: the values of COLUMNS with times in microseconds, then `data` as JSON text."""
    return [leaf_hash(entry_of(row)) for row in rows]


def entry_of(row: Iterable[object]) -> bytes:
    """Return the bytes of an event that its leaf hashes."""
    *skeleton, payload = row
    return orjson.dumps([FORMAT, *skeleton, payload_digest(str(payload)).hex()])


def payload_digest(text: str) -> bytes:
    """Return the digest of a payload, or the one that an erased payload left behind; never refuses."""
    if (erased := _ERASED.fullmatch(text)) is not None:
        return bytes.fromhex(erased[1])
    try:
        return sha256(canonical_payload(text)).digest()
    except _NOT_CANONICAL:
        # Somebody has put it there: that must not keep the rest of the log from being sealed.
        return sha256(b"raw\0" + text.encode()).digest()


def is_erased(text: str) -> bool:
    """Say whether the payload was erased."""
    return _ERASED.fullmatch(text) is not None


def erased_payload(digest: str) -> str:
    """Return the data that stands for an erased payload, by its digest in hexadecimal."""
    return f'{{"$erased": "{digest}"}}'


def canonical_text(text: str) -> str:
    """Return a payload in its canonical form, as it is where it has none: either has the same digest."""
    try:
        return canonical_payload(text).decode()
    except _NOT_CANONICAL:
        return text


def canonical_payload(text: str) -> bytes:
    """Return JSON text in its canonical form; raises ValueError, TypeError or RecursionError where it has none."""
    # orjson alone would be three times as fast, and lose the digits of numbers that a float does not hold.
    return orjson.dumps(_DECODER.decode(text), option=orjson.OPT_SORT_KEYS)


def microseconds(moment: datetime) -> int:
    """Return a time as it stands in an entry."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(value: int) -> datetime:
    """Return the time that stands in an entry; raises OverflowError where Python has none."""
    return _EPOCH + value * _MICROSECOND


def _plain(number: str) -> orjson.Fragment:
    if "e" in number or "E" in number:
        value = Decimal(number)
        if abs(value.adjusted()) > _EXPONENT_MAX:
            raise ValueError(number)
        number = format(value, "f")
    if number.startswith("-0") and not number.strip("-0."):
        number = number[1:]
    return orjson.Fragment(number)


def _refuse(constant: str) -> object:
    raise ValueError(constant)  # NaN and the infinities are no JSON


_DECODER = json.JSONDecoder(parse_float=_plain, parse_int=_plain, parse_constant=_refuse)
