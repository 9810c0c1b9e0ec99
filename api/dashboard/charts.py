"""Charts as numbers that a template draws: bars over time, in units of the chart's own width and height."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.dashboard.words import moment

WIDTH = 1000.0
HEIGHT = 120.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: its class, where it begins from above, and how high it is."""

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of time."""

    x: float
    width: float
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Chart:
    """All bars; `top` is what a bar as high as the chart stands for."""

    bars: Sequence[Bar]
    top: float
    begin: str
    end: str
    says: str


Measure = Callable[[Mapping[str, Any]], float]


def stacked(
    points: Sequence[Mapping[str, Any]], measures: Mapping[str, Measure], *, time: str = "at", what: str
) -> Chart | None:
    """Return a chart with a bar a point, its measures one above the other; None where nothing was measured."""
    heights = [[measure(point) for measure in measures.values()] for point in points]
    top = max((sum(values) for values in heights), default=0.0)
    if not top:
        return None
    width = WIDTH / len(points)
    bars = [
        Bar(
            x=round(index * width, 2),
            width=round(max(width - 1, 1), 2),
            title=f"{moment(point[time])[:16]}: "
            + ", ".join(f"{value:g} {kind}" for kind, value in zip(measures, values, strict=True)),
            parts=_parts(tuple(measures), values, top),
        )
        for index, (point, values) in enumerate(zip(points, heights, strict=True))
    ]
    total = ", ".join(
        f"{sum(values[index] for values in heights):g} {kind}" for index, kind in enumerate(measures)
    )
    return Chart(bars, top, moment(points[0][time])[:16], moment(points[-1][time])[:16], f"{what}: {total}")


def _parts(kinds: Sequence[str], values: Sequence[float], top: float) -> list[Part]:
    parts = []
    y = HEIGHT
    for kind, value in zip(kinds, values, strict=True):
        height = round(HEIGHT * value / top, 2)
        y = round(y - height, 2)
        if height:
            parts.append(Part(kind, y, height))
    return parts
