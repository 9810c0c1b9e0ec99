"""The bar that shows on standard error how far something is, where a person looks on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int, int], None]


@contextmanager
def counting(what: str) -> Iterator[Show]:
    """Show how many of how many are done; without a terminal nothing is shown."""
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich import progress as rich  # noqa: PLC0415 - only where a person looks on
    from rich.console import Console  # noqa: PLC0415 - only where a person looks on

    columns = (rich.TextColumn(what), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    with rich.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
