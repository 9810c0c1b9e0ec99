"""The report: a table of the faults that were injected, and what became of the tasks."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tests.chaos.account import Account, Recovery
from tests.chaos.faults import Harm, Recovered

_IDS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say at the end of a run."""

    tasks: int
    lost: Sequence[UUID]
    doubled: Sequence[UUID]
    breaches: Sequence[str]
    recoveries: Mapping[Harm, Sequence[Recovery]]
    seconds: float

    @classmethod
    def of(
        cls,
        account: Account,
        accepted: Sequence[UUID],
        harms: Sequence[Harm],
        breaches: Sequence[str],
        seconds: float,
    ) -> "Report":
        """Draw it up."""
        return cls(
            len(accepted), account.lost(accepted), account.doubled(), breaches, account.recoveries(harms), seconds
        )

    @property
    def is_bad(self) -> bool:
        """Whether anything was lost, doubled, never recovered, or broke an invariant."""
        is_stuck = any(math.isinf(one.seconds) for times in self.recoveries.values() for one in times)
        return bool(self.lost or self.doubled or self.breaches or is_stuck)

    def lines(self) -> Iterable[str]:
        """Return the table and the sums, a line each.

        The time of a harm is that of its slowest task. `tasks` is how many tell of it: those that a killed worker
        held, or that were ready at the moment, or the first one of those that came later. A harm that hit no task
        has no time: `timed` is how many have one.
        """
        yield (
            f"{'fault':36} {'count':>6} {'timed':>6} {'tasks':>6} "
            f"{'p50 s':>7} {'p99 s':>7} {'max s':>7} {'of it away s':>13}"
        )
        kinds: defaultdict[str, list[Harm]] = defaultdict(list)
        for harm in self.recoveries:
            kinds[harm.kind].append(harm)
        for kind, harms in sorted(kinds.items()):
            yield self._line(kind, harms)
        workers = [harm for harm in self.recoveries if harm.recovered is Recovered.HELD and not harm.down_seconds]
        yield self._line("every killed worker", workers)
        yield self._line("  tasks that no other kill hit again", workers, attempts_max=1)
        yield self._line("every fault", list(self.recoveries))
        yield (
            f"{len(self.recoveries)} faults in {self.seconds:.0f} s, {self.tasks} tasks: "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.breaches)} breaches of an invariant"
        )
        yield from (f"lost: {one}" for one in self.lost[:_IDS_SHOWN_MAX])
        yield from (f"doubled: {one}" for one in self.doubled[:_IDS_SHOWN_MAX])
        yield from self.breaches[:_IDS_SHOWN_MAX]

    def _line(self, kind: str, harms: Sequence[Harm], *, attempts_max: int = 1000) -> str:
        tasks = [[one.seconds for one in self.recoveries[harm] if one.attempts <= attempts_max] for harm in harms]
        times = sorted(max(seconds) for seconds in tasks if seconds)
        away = max((harm.down_seconds for harm in harms), default=0.0)
        shown = [_quantile(times, 0.5), _quantile(times, 0.99), _quantile(times, 1.0)]
        figures = " ".join(f"{seconds:7.2f}" for seconds in shown)
        return f"{kind:36} {len(harms):6} {len(times):6} {sum(map(len, tasks)):6} {figures} {away:13.2f}"


def _quantile(times: Sequence[float], share: float) -> float:
    return times[max(0, math.ceil(len(times) * share) - 1)] if times else float("nan")
