"""The record of runs, as it stands in `docs/bench.json`: facts, the machine's pace, and the rows of each table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.facts import Facts
from tests.bench.measurements import Measured
from tests.bench.peers.comparison import Row
from tests.bench.peers.ours import OURS, OURS_IN_PROCESS
from tests.bench.reference import pace_of
from tests.bench.regression import Change, changes_beside_peers, changes_of_measurements
from tests.services.cluster import ROOT

RECORDED = ROOT / "docs" / "bench.json"
OWN = "measurements"
PEERS = "peers"
OUR_NAMES = (OURS.name, OURS_IN_PROCESS.name)


@dataclass(frozen=True, slots=True)
class Run:
    """One table with what its figures depend on.

    Attributes:
        pace: what the reference measured in the same run.
    """

    facts: Facts
    scale: float
    rounds: int
    pace: Mapping[str, float]
    rows: Sequence[Measured] | Sequence[Row]


def text_of(runs: Mapping[str, Run]) -> str:
    """Return the runs in JSON."""
    return _text({name: asdict(run) for name, run in runs.items()})


def record(path: Path, runs: Mapping[str, Run]) -> None:
    """Write the runs over the recorded ones of the same tables; the other tables stay."""
    known: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(_text({**known, **json.loads(text_of(runs))}))


def recorded_scales(path: Path) -> Mapping[str, float]:
    """Return at which scale each recorded table was measured; only at the same one can a run be compared with it.

    Raises:
        ValueError: there are no recorded tables in this file.
    """
    try:
        return {name: float(table["scale"]) for name, table in json.loads(path.read_text()).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} has no recorded tables ({error})") from error


def changes_since(path: Path, runs: Mapping[str, Run]) -> list[Change]:
    """Return how fast everything is that is in these runs and in the recorded tables, against those."""
    recorded = json.loads(path.read_text())
    measured = json.loads(text_of(runs))
    changes: list[Change] = []
    for table in (name for name in (OWN, PEERS) if name in recorded and name in measured):
        then, now = recorded[table], measured[table]
        if table == OWN:
            changes += changes_of_measurements(
                then["rows"], now["rows"], pace_then=then["pace"], pace_now=now["pace"]
            )
        else:
            faster_machine = pace_of(now["pace"]) / pace_of(then["pace"])
            changes += changes_beside_peers(
                then["rows"], now["rows"], ours=OUR_NAMES, faster_machine=faster_machine
            )
    return changes


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
