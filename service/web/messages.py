"""The page's messages in each language, from `catalogs/LANGUAGE.json`.

A catalog maps keys such as "service.waiting" to a text with fields as of `str.format`, or,
where a number decides, to {"one": text, "other": text}, chosen by the value `count`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "zh-CN": "简体中文"}  # each in its own words
DEFAULT = "en"
_CATALOGS = Path(__file__).parent / "catalogs"
_CHINESE = re.compile(r"zh(-(cn|sg|hans.*))?$")

Text = str | Mapping[str, str]


class Messages:
    """The messages of one language.

    Attributes:
        language: its tag, such as "zh-CN".
    """

    def __init__(self, language: str, texts: Mapping[str, Text]) -> None:
        """Hold a catalog."""
        self.language = language
        self._texts = texts

    def __call__(self, key: str, **values: Any) -> str:
        """Return a message with its fields filled in; as plain text, not HTML.

        Raises:
            KeyError: there is no such message, or a value is missing.
        """
        text = self._texts[key]
        if not isinstance(text, str):
            text = text["one" if values["count"] == 1 and "one" in text else "other"]
        return text.format_map(values)

    def __contains__(self, key: str) -> bool:
        """Tell whether there is a message."""
        return key in self._texts

    def of(self, parts: Iterable[str]) -> dict[str, Text]:
        """Return the texts whose keys begin with one of these words, for a script of the page."""
        wanted = tuple(f"{part}." for part in parts)
        return {key: text for key, text in self._texts.items() if key.startswith(wanted)}


@cache
def messages(language: str) -> Messages:
    """Return the messages of a language, one of `LANGUAGES`."""
    text = (_CATALOGS / f"{language}.json").read_text(encoding="utf-8")
    return Messages(language, json.loads(text))


def preferred(chosen: str | None, accepted: str) -> str:
    """Choose a language.

    Args:
        chosen: by the user, or None.
        accepted: the header Accept-Language; what it prefers decides, wherever it stands.
    """
    if chosen in LANGUAGES:
        return str(chosen)
    ranked = []
    for position, part in enumerate(accepted.lower().split(",")[:20]):
        tag, _, weight = (one.strip() for one in part.partition(";"))
        match = re.fullmatch(r"q=([01](?:\.\d{0,3})?)", weight)
        ranked.append((-(float(match[1]) if match else 1.0), position, tag))
    for order, _, tag in sorted(ranked):
        if order == 0:  # the header refuses it
            continue
        if _CHINESE.match(tag):
            return "zh-CN"
        if tag.split("-")[0] == "en":
            return "en"
    return DEFAULT
