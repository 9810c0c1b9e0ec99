"""Whatever JSON a task holds comes back out of its seal as it went in, and stays in it under another key."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from ledger.errors import PayloadSealError
from ledger.payloads.cipher import Cipher, sealed_text

_SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
_JSON = st.recursive(
    _SCALARS.filter(lambda value: value not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
_FIELDS = st.sampled_from(["input", "result", "error", "message"])


@given(task_id=st.uuids(), key=st.binary(min_size=32, max_size=32), field=_FIELDS, value=_JSON)
def test_any_json_comes_back_as_it_went_in(task_id: UUID, key: bytes, field: str, value: JsonValue) -> None:
    cipher = Cipher(task_id, key)
    if field == "error":
        value = {"type": "ValueError", "message": value, "traceback": None}

    sealed = cipher.seal(field, value)

    assert sealed_text(sealed) is not None
    assert cipher.open(field, sealed) == value
    other = bytes([key[0] ^ 1]) + key[1:]
    with pytest.raises(PayloadSealError):
        Cipher(task_id, other).open(field, sealed)
