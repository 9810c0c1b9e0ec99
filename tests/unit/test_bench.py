"""What a measured run amounts to, and which URL is this machine's."""

from uuid import UUID

import pytest

from api.bench import is_loopback
from api.bench_figures import Times, figures_of

ONE, TWO, THREE, FOREIGN = (UUID(int=number) for number in range(4))


def test_the_figures_of_a_run_count_its_own_tasks_and_rank_their_times() -> None:
    times = Times(
        began=10.0,
        asked={ONE: 10.0, TWO: 10.5, THREE: 11.0},
        answered=[0.2, 0.001, 0.1],
        completed={ONE: 10.25, TWO: 12.0, FOREIGN: 99.0},
        failed=0,
        refused=4,
        processor=1.5,
        ended=13.0,
    )

    figures = figures_of(times, submits_ended=11.5)

    assert (figures.submitted, figures.completed, figures.missing, figures.refused) == (3, 2, 1, 4)
    assert (figures.submits_per_second, figures.completions_per_second) == (2.0, 1.0)
    assert (figures.submit_p50_ms, figures.submit_p99_ms) == (100.0, 200.0)
    assert (figures.complete_p50_ms, figures.complete_p99_ms) == (250.0, 1500.0)
    assert figures.processor_share == 0.5


def test_what_was_not_measured_has_no_figure() -> None:
    times = Times(began=1.0, asked={}, answered=[], completed={}, failed=0, refused=1, processor=0.0, ended=2.0)

    figures = figures_of(times, submits_ended=1.5)

    assert figures.submits_per_second is figures.completions_per_second is figures.submit_p50_ms is None
    assert figures.complete_p99_ms is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:8080", True),
        ("https://ledger.example.com", False),
        ("http://10.0.0.7:8080", False),
        ("http://localhost.example.com", False),
    ],
)
def test_a_loopback_url_is_known_by_its_name(url: str, *, expected: bool) -> None:
    assert is_loopback(url) is expected
