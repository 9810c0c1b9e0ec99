"""The text of a batch is taken apart into items at their borders, and nowhere else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.batch_text import array_items, line_items
from api.errors import InvalidRequestError

BYTES_MAX = 1_000_000
TEXTS = st.text('{}[]",:\\\n ü', max_size=6)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=4)


@settings(max_examples=80, deadline=None)
@given(OBJECTS, st.sampled_from([{"indent": 1}, {"ensure_ascii": False}, {"separators": (",", ":")}]))
def test_array_is_taken_apart_into_the_objects_that_it_is_made_of(
    objects: list[dict[str, object]], style: dict[str, Any]
) -> None:
    text = json.dumps(objects, **style).encode()

    assert [json.loads(item) for item in array_items(text, item_bytes_max=BYTES_MAX)] == objects


@settings(max_examples=30, deadline=None)
@given(OBJECTS)
def test_lines_are_the_objects_that_stand_on_them(objects: list[dict[str, object]]) -> None:
    text = "\r\n \n".join(json.dumps(one) for one in objects).encode()

    assert [json.loads(item) for item in line_items(text)] == objects


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "it must be a JSON array of tasks"),
        (b'{"input":1}', "it must be a JSON array of tasks"),
        (b"[", "item 0 must be a JSON object"),
        (b"[1]", "item 0 must be a JSON object"),
        (b'[{},"{}"]', "item 1 must be a JSON object"),
        (b"[{},]", "item 1 must be a JSON object"),
        (b"[{}", "a comma or the end of the array must follow item 0"),
        (b"[{} {}]", "a comma or the end of the array must follow item 0"),
        (b"[{}}]", "a comma or the end of the array must follow item 0"),
        (b"[{}]]", "there is more after the end of the array"),
        (b"[]{}", "there is more after the end of the array"),
        (b'[{"a":"}]', "item 0 must end within 100 bytes"),
        (b'[{"a":"\\"}]', "item 0 must end within 100 bytes"),
        (b'[{},{"a":"%s"}]' % (b"x" * 100), "item 1 must end within 100 bytes"),
        (b"[%s]" % (b"{" * 50), "item 0 must end within 100 bytes"),
    ],
)
def test_text_that_is_no_array_of_objects_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(InvalidRequestError, match=sentence):
        list(array_items(text, item_bytes_max=100))


def test_nesting_has_a_bound_however_large_an_item_may_be() -> None:
    with pytest.raises(InvalidRequestError, match="nest at most 200 deep"):
        list(array_items(b"[%s" % (b'{"a":' * 5_000_000), item_bytes_max=100_000_000))
