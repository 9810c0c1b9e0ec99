"""How values look on a page."""

import pytest

from api.dashboard.words import size


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_234_567, "1.23 MB"),
        (999_999, "1,000 kB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_a_size_is_told_in_the_largest_unit_that_leaves_a_number(octets: int, text: str) -> None:
    assert size(octets) == text
