"""The leaf of an event is the same for every server, says everything about the event, and outlives its payload."""

import json
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.seals.leaf import (
    canonical_payload,
    entry_of,
    is_erased,
    leaves_of,
    microseconds,
    moment_of,
    payload_digest,
)

ROW: tuple[object, ...] = (
    7, "0198f3c2-7a1e-7c3a-9d52-0f4be0a1c9d7", 1, "task.submitted", 1, "echo", "default",
    1_700_000_000_000_001, 1_700_000_000_000_002, "cliënt", "c", None, None, '{"b": 1, "a": "x"}',
)  # fmt: skip
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?\Z")


def test_the_bytes_of_an_event_are_these_for_ever() -> None:
    digest = sha256(b'{"a":"x","b":1}').hexdigest()

    entry = entry_of(ROW)

    assert entry.decode() == (
        '[1,7,"0198f3c2-7a1e-7c3a-9d52-0f4be0a1c9d7",1,"task.submitted",1,"echo","default",'
        f'1700000000000001,1700000000000002,"cliënt","c",null,null,"{digest}"]'
    )
    assert leaves_of([ROW]) == [sha256(b"\x00" + entry).digest()]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('{ "b" : [1, 2],\n"aa":{}, "a":null }', '{"a":null,"aa":{},"b":[1,2]}'),
        ('{"a": 1, "a": 2}', '{"a":2}'),
        ('{"é": 1, "z": 2, "\U0001f600": 3, "\uff5e": 4}', '{"z":2,"é":1,"\uff5e":4,"\U0001f600":3}'),
        (r'"\u0041\/\u00e9\u0001\u001F\b\t\n\f\r\"\\\u007f"', '"A/é\\u0001\\u001f\\b\\t\\n\\f\\r\\"\\\\\x7f"'),
        ("[1e2, 1.10, 0.5E-3, -0.0, -0, 1E+2]", "[100,1.10,0.00005,0.0,0,100]".replace("0.00005", "0.0005")),
        ("12345678901234567890123.4567890123456789", "12345678901234567890123.4567890123456789"),
        ('{"a": 18446744073709551616}', '{"a":18446744073709551616}'),
        ("[-0.50, -10]", "[-0.50,-10]"),
    ],
)
def test_payload_has_one_canonical_form(text: str, canonical: str) -> None:
    assert canonical_payload(text).decode() == canonical
    assert canonical_payload(canonical).decode() == canonical


@given(NUMBERS, NUMBERS)
def test_numbers_of_different_value_never_look_alike(one: str, other: str) -> None:
    from decimal import Decimal  # noqa: PLC0415 - the oracle of this test alone

    alike = canonical_payload(f"[{one}]") == canonical_payload(f"[{other}]")

    assert not alike or Decimal(one) == Decimal(other)
    assert json.loads(canonical_payload(one), parse_float=Decimal, parse_int=Decimal) == Decimal(one)


@pytest.mark.parametrize("column", range(len(ROW)))
def test_every_column_counts(column: int) -> None:
    value = ROW[column]
    changed = value + 1 if isinstance(value, int) else "{}" if column == len(ROW) - 1 else f"{value} "

    assert entry_of([*ROW[:column], changed, *ROW[column + 1 :]]) != entry_of(ROW)


def test_the_leaf_stays_the_same_when_the_payload_is_erased() -> None:
    digest = payload_digest(str(ROW[-1])).hex()
    erased = f'{{"$erased": "{digest}"}}'

    assert entry_of([*ROW[:-1], erased]) == entry_of(ROW)
    assert is_erased(erased)
    assert not is_erased(str(ROW[-1]))


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, '{"a": 1e999999999}', "NaN", "1 2", r'"\ud800"'])
def test_what_has_no_canonical_form_has_a_digest_all_the_same(text: str) -> None:
    assert payload_digest(text) == sha256(b"raw\0" + text.encode()).digest()


@given(st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - the zone is drawn beside it
def test_times_keep_their_microsecond(moment: datetime) -> None:
    assert moment_of(microseconds(moment)) == moment
