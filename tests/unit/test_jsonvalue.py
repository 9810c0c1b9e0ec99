"""JSON as the ledger stores it: what is refused, by which sentence, and text that is always storable."""

from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidValueError
from ledger.jsonvalue import check_json, decode_json, encode_json, storable_text

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_storable_value_comes_back_as_it_was(value: object) -> None:
    assert decode_json(encode_json(value, field="input")) == value


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        ("a\0b", "text without NUL characters"),
        ({"k\0": 1}, "text without NUL characters"),
        ([["deep", "\0"]], "text without NUL characters"),
        ("\ud800", "valid Unicode"),
        (float("nan"), "a finite number"),
        ({"a": [float("-inf")]}, "a finite number"),
        (2**64, "integers of at most 64 bits"),
    ],
)
def test_what_postgres_or_json_cannot_hold_is_refused_by_name(value: object, bound: str) -> None:
    with pytest.raises(InvalidValueError, match=f"input must be {bound}"):
        encode_json(value, field="input")


@dataclass
class Parcel:
    """What is no JSON value, though the encoder could write it down."""

    label: str


def test_dataclass_is_no_json_value() -> None:
    with pytest.raises(InvalidValueError, match=r"result must be JSON \(Type is not JSON serializable: Parcel\)"):
        encode_json({"parcels": [Parcel("a\0b")]}, field="result")


def test_backslash_u0000_written_out_is_only_text() -> None:
    assert decode_json(encode_json("\\u0000", field="input")) == "\\u0000"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_is_bounded_exactly(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    inner = "" if opening == "[" else "1"

    def nested(depth: int) -> object:
        return orjson.loads(opening * depth + inner + closing * depth)

    check_json(nested(5), field="input", depth_max=5)
    with pytest.raises(InvalidValueError, match="input must be nested at most 5 deep"):
        check_json(nested(6), field="input", depth_max=5)


def test_size_is_bounded_in_bytes() -> None:
    assert encode_json("é", field="result", bytes_max=4) == '"é"'
    with pytest.raises(InvalidValueError, match="result must be at most 3 bytes, got 4"):
        encode_json("é", field="result", bytes_max=3)


@given(st.text(st.characters(), max_size=200), st.integers(1, 100))
def test_storable_text_is_always_storable(text: str, chars_max: int) -> None:
    encode_json(storable_text(text, chars_max=chars_max), field="error")


def test_storable_text_says_how_much_was_cut() -> None:
    assert storable_text("a" * 50, chars_max=10) == "aaaaaaaaaa… (50 characters)"
