"""Conditions of SQL that several questions share, each with its values."""

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePath

from service.ledger.database import folded

PATTERN = "? ESCAPE '\\'"


def range_of(folder: PurePath) -> tuple[bytes, bytes]:
    """Return the bounds of all paths below a folder: "0" follows "/" in ASCII."""
    start = os.fsencode(folder)
    return start + b"/", start + b"0"


def named(text: str, columns: Sequence[str]) -> tuple[str, list[str]]:
    """Return the condition that one of these columns contains a text, and its values.

    Case is ignored, and composed and decomposed letters are equal.
    """
    text = unicodedata.normalize("NFC", text)
    plain = max(re.split("[^\0-\x7f]+", text), key=len)
    tests, values = [f"CAST({{}} AS TEXT) LIKE {PATTERN}"], [_pattern(plain)]
    if not text.isascii():  # slow, so only for rows that pass the first test
        tests.append(f"folded({{}}) LIKE {PATTERN}")
        values.append(_pattern(folded(text)))
    either = (" AND ".join(test.format(one) for test in tests) for one in columns)
    return " OR ".join(either), values * len(columns)


def _pattern(text: str) -> str:
    r"""Return the LIKE pattern of texts that contain this one, with `\` as the escape."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"
