"""What the benchmark's guard takes for slower, and what it takes for another machine."""

import json
from pathlib import Path

import pytest

from tests.bench.facts import Facts
from tests.bench.measurements import Measured
from tests.bench.record import OWN, PEERS, Run, changes_since, record, recorded_scales
from tests.bench.regression import (
    Change,
    RecordedRow,
    changes_beside_peers,
    changes_of_measurements,
)

OURS = ("task-ledger",)
PACE = {"inserts_per_second": 1000.0, "loops_per_second": 100.0}
TWICE_AS_FAST = {"inserts_per_second": 2000.0, "loops_per_second": 200.0}
FACTS = Facts("2026-01-01", "unknown", {}, {}, "3.10", "CPython", {})


def rows(ours: float, *theirs: float) -> list[RecordedRow]:
    others: list[RecordedRow] = [
        {"job": "drain", "name": f"peer {number}", "per_second": rate} for number, rate in enumerate(theirs)
    ]
    return [{"job": "drain", "name": "task-ledger", "per_second": ours}, *others]


def beside_peers(then: list[RecordedRow], now: list[RecordedRow], faster_machine: float = 1.0) -> list[float]:
    changes = changes_beside_peers(then, now, ours=OURS, faster_machine=faster_machine)
    return [change.speed for change in changes]


def measured(per_second: float) -> Measured:
    return Measured("submits", "", "", 1.0, figures={"submits_per_second": per_second})


def test_the_guard_lets_fifteen_percent_pass_and_no_more() -> None:
    assert not Change("drain", 0.86).is_slower
    assert Change("drain", 0.84).is_slower
    assert str(Change("drain", 0.8)) == "drain: 20% slower than recorded"


def test_a_machine_twice_as_fast_makes_nothing_faster() -> None:
    changes = changes_of_measurements(
        [{"figures": {"submits_per_second": 100.0, "submit_p50_ms": 8.0}}],
        [{"figures": {"submits_per_second": 200.0, "submit_p50_ms": 4.0}}],
        pace_then=PACE,
        pace_now=TWICE_AS_FAST,
    )

    assert [change.speed for change in changes] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_code_that_became_slower_shows_on_a_faster_machine() -> None:
    [rate, latency] = changes_of_measurements(
        [{"figures": {"submits_per_second": 100.0, "submit_p50_ms": 8.0}}],
        [{"figures": {"submits_per_second": 120.0, "submit_p50_ms": 8.0, "new_ms": 1.0}}],
        pace_then=PACE,
        pace_now=TWICE_AS_FAST,
    )

    assert rate.speed == pytest.approx(0.6)
    assert latency.speed == pytest.approx(0.5)


def test_beside_peers_a_faster_machine_makes_nothing_faster() -> None:
    assert beside_peers(rows(100, 50, 20), rows(200, 100, 40)) == [pytest.approx(1.0)]


def test_beside_peers_one_of_them_in_a_bad_round_changes_nothing() -> None:
    assert beside_peers(rows(100, 50, 20, 10), rows(100, 50, 5, 10)) == [pytest.approx(1.0)]


def test_beside_peers_ours_alone_becoming_slower_shows() -> None:
    assert beside_peers(rows(100, 50, 20), rows(70, 50, 20)) == [pytest.approx(0.7)]


def test_without_a_peer_in_both_tables_the_pace_of_the_machine_counts() -> None:
    assert beside_peers(rows(100), rows(100, 50), faster_machine=2.0) == [pytest.approx(0.5)]


def test_a_run_is_compared_with_the_table_recorded_before(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    record(path, {OWN: Run(FACTS, 1.0, 1, PACE, [measured(100.0)])})

    changes = changes_since(path, {OWN: Run(FACTS, 1.0, 1, PACE, [measured(50.0)])})

    assert [(change.what, change.speed) for change in changes] == [("submits_per_second", 0.5)]


def test_recording_one_table_leaves_the_other(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    record(path, {PEERS: Run(FACTS, 1.0, 3, PACE, [])})

    record(path, {OWN: Run(FACTS, 1.0, 1, PACE, [measured(100.0)])})

    assert set(json.loads(path.read_text())) == {OWN, PEERS}


def test_a_recorded_table_says_its_scale_and_another_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    record(path, {OWN: Run(FACTS, 0.5, 1, PACE, [measured(100.0)])})

    assert recorded_scales(path) == {OWN: 0.5}
    with pytest.raises(ValueError, match="has no recorded tables"):
        recorded_scales(tmp_path / "absent.json")
