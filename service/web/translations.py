"""Texts that the daemon writes, such as why a scan was rejected, in a visitor's language.

Ledger, heartbeat and .reason.txt hold them in English, with what they are about filled in. As in
gettext, a catalog, `catalogs/texts.LANGUAGE.json`, maps the English text with its fields, as of
`str.format`, to the text of another language; fields that are such texts are translated, too.
"""

import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

ENGLISH = "en"  # the language of the texts themselves
LONGEST = 2000  # characters of a text that is looked up
_CATALOGS = Path(__file__).parent / "catalogs"
_FIELD = re.compile(r"\{(\w+)\}")


class _Text(NamedTuple):
    """A text of the catalog: what it looks like when it is filled in, and its translation."""

    pattern: re.Pattern[str]
    translation: str


@lru_cache(maxsize=4096)
def translated(text: str, language: str) -> str | None:
    """Return a text in a language; None if the catalog has no such text.

    Args:
        text: in English, as it was written.
        language: a tag of `service.web.messages.LANGUAGES`.
    """
    for one in _texts(language) if len(text) <= LONGEST else ():
        if found := one.pattern.fullmatch(text):
            parts = found.groupdict()
            words = {name: translated(part, language) or part for name, part in parts.items()}
            return one.translation.format_map(words)
    return None


@cache
def _texts(language: str) -> tuple[_Text, ...]:
    """Read a catalog; the texts that say most themselves come first."""
    path = _CATALOGS / f"texts.{language}.json"
    texts: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    ordered = sorted(texts, key=lambda text: -len(_FIELD.sub("", text)))
    return tuple(_Text(_pattern(text), texts[text]) for text in ordered)


def _pattern(text: str) -> re.Pattern[str]:
    literal = iter(_FIELD.split(text))
    parts = [re.escape(next(literal))]
    for name in literal:
        parts += [f"(?P<{name}>.*?)", re.escape(next(literal))]
    return re.compile("".join(parts), re.DOTALL)
