"""Texts that a terminal shows and does not obey; pure.

A file's name may hold anything but "/" and NUL: commands of a terminal, new lines that look like
lines of a log, letters that turn the reading direction around.
"""

import json
import re
from collections.abc import Callable
from typing import Any


def printable(text: str, keep: str = "") -> str:
    r"""Write out what is no letter, digit, sign or blank, as `\n`, `\x1b`, `\u202e` or `\udce9`.

    Args:
        text: of a file's name, a library, or a fault.
        keep: characters that stay, such as "\n" in a text of several lines.

    Returns:
        A text that is UTF-8; one that is printable in the sense of `str.isprintable` as it was.
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
    r"""Write JSON in which letters of every script stay letters, so that a search finds them.

    What a terminal would obey, bytes of names that are not UTF-8 and what the encoding has no sign
    for are written as `\u202e`, which to readers of JSON is the same.

    Args:
        value: to write.
        indent: blanks for each level; None for a single line.
        encoding: of where it goes.
        default: makes something of what JSON has no form for.
    """
    return escaped_json(
        json.dumps(value, ensure_ascii=False, indent=indent, default=default), encoding
    )


def escaped_json(text: str, encoding: str = "utf-8") -> str:
    r"""Write `\u001b` in JSON for what a terminal would obey or the encoding has no sign for."""
    if text.isprintable() and _fits(text, encoding):
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
