"""A progress bar on a terminal, nothing elsewhere: there, the log lines tell."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Report = Callable[[float, float, str], None]  # done, of all, and a few words


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Report]:
    """Show a bar while the block runs, if standard error is a terminal.

    Args:
        title: what is counted.
        shown: False for never.

    Yields:
        The function that moves the bar.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda _done, _all, _words: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, words="")

        def report(done: float, all_: float, words: str) -> None:
            if not all_:  # not known, or not known any more; for update, None is no change
                bar.tasks[0].total = None
            bar.update(task, completed=done, total=all_ or None, words=words)

        yield report
