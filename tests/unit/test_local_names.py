"""A machine has a few names for itself; every other one may be a foreign page's."""

import pytest

from api.local_names import is_local_name


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "LOCALHOST", "a.localhost:1", "127.0.0.1:80", "[::1]:80", "127.9.9.9", ""],
)
def test_names_of_this_machine_are_known(host: str) -> None:
    assert is_local_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example:8080",
        "10.0.0.1",
        "192.0.2.1",
        "[fe80::1]",
        "127.0.0.1.evil.example",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_local_name(host)
