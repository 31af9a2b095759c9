"""Text that is safe to print on a terminal, and the progress bar.

A file name may hold anything but "/" and NUL: terminal escape sequences, newlines that fake a log
line, characters that reverse the reading direction.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[float, float, str], None]  # done, total, a few words


def printable(text: str, keep: str = "") -> str:
    r"""Escape characters that are not printable, as `\n`, `\x1b`, `\u202e` or `\udce9`.

    Args:
        text: a file name, or a message from a library.
        keep: characters to leave alone, such as "\n" in a text of several lines.

    Returns:
        Valid UTF-8; unchanged if `str.isprintable` holds for all of it.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def as_json(
    value: Any,
    indent: int | None = 2,
    encoding: str = "utf-8",
    default: Callable[[Any], Any] | None = None,
) -> str:
    r"""Serialize to JSON that keeps letters of every script, so that `grep` finds them.

    Characters that are not printable, bytes of names that are not UTF-8, and what the encoding
    lacks are written as `\u202e`, which means the same to every JSON parser.

    Args:
        value: to serialize.
        indent: spaces for each level; None for a single line.
        encoding: of the stream the text goes to.
        default: converts values that JSON has no type for.
    """
    return escaped_json(
        json.dumps(value, ensure_ascii=False, indent=indent, default=default), encoding
    )


def escaped_json(text: str, encoding: str = "utf-8") -> str:
    r"""Escape, in JSON, what is not printable or not in the encoding, as `\u001b`."""
    if text.replace("\n", "").isprintable() and _fits(text, encoding):
        return text
    return "".join(
        one
        if one == "\n" or (one.isprintable() and _fits(one, encoding))
        else re.sub("(....)", r"\\u\1", one.encode("utf-16-be", "surrogatepass").hex())
        for one in text
    )


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def progress_bar(title: str, *, shown: bool = True) -> Iterator[Report]:
    """Show a progress bar while the block runs, if standard error is a terminal.

    Args:
        title: what is counted.
        shown: False to show none.

    Yields:
        The function that moves the bar.
    """
    if not (shown and sys.stderr.isatty()):
        yield lambda _done, _total, _words: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None, words="")

        def report(done: float, total: float, words: str) -> None:
            if not total:  # unknown, perhaps no longer known; update(total=None) changes nothing
                bar.tasks[0].total = None
            bar.update(task, completed=done, total=total or None, words=words)

        yield report
