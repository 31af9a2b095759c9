"""The catalogs of messages: complete in both languages, and used."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest

from service.web.messages import LANGUAGES, messages, preferred

WEB = Path(__file__).parents[3] / "service" / "web"
CATALOGS = {
    language: json.loads((WEB / "catalogs" / f"{language}.json").read_text(encoding="utf-8"))
    for language in LANGUAGES
}
KEY = re.compile(r"[a-z_]+\.[a-z0-9_]+")
CALLED = re.compile(
    r"""\b(?:t|told\(\w+\)|texts|Refusal)\(\s*(?:[\w.]+,\s*)?f?["'`]([a-z_.0-9]+)(?:["'`]|\$?\{)"""
)


def placeholders(text: Any) -> set[str]:
    """Return the names that a message has filled in, in any of its forms."""
    forms = [text] if isinstance(text, str) else list(text.values())
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}


def used() -> dict[str, str]:
    """Return the keys in templates, scripts and endpoints, each with a file that has it.

    Keys that are put together are given by their beginning, with a point or underscore at the end.
    """
    found = {}
    scripts = [one for one in WEB.glob("static/**/*.js") if "vendor" not in one.parts]
    for path in (*WEB.glob("*.py"), *WEB.glob("templates/*.html"), *scripts):
        for key in CALLED.findall(path.read_text(encoding="utf-8")):
            found[key] = path.name
    return found


def test_the_catalogs_have_the_same_keys_in_the_same_order() -> None:
    """Nothing is untranslated, and a translator finds things where they are."""
    first, *others = CATALOGS.values()

    assert [list(first)] * len(others) == [list(one) for one in others]


@pytest.mark.parametrize("language", LANGUAGES)
def test_keys_and_forms_are_of_one_kind(language: str) -> None:
    """Each key is section.name; each message with forms has the one that always fits."""
    for key, text in CATALOGS[language].items():
        assert KEY.fullmatch(key), key
        assert isinstance(text, str) or ("other" in text and set(text) <= {"one", "other"}), key
        assert isinstance(text, str) or "count" in placeholders(text), key


def test_translations_fill_in_the_same() -> None:
    """Each translation has the placeholders of the English message."""
    english = CATALOGS["en"]
    for language, texts in CATALOGS.items():
        for key, text in texts.items():
            assert placeholders(english[key]) == placeholders(text), (language, key)


def test_every_key_that_is_used_exists() -> None:
    """In templates, scripts and endpoints."""
    assert {} == {
        key: name
        for key, name in used().items()
        if key not in CATALOGS["en"]
        and not (
            key.endswith((".", "_")) and any(known.startswith(key) for known in CATALOGS["en"])
        )
    }


def test_every_message_is_used() -> None:
    """No message is left over from what is gone."""
    keys = used()
    beginnings = tuple(key for key in keys if key.endswith((".", "_")))
    constant = {f"error.{status}" for status in (404, 405, 500)}

    assert [] == [
        key
        for key in CATALOGS["en"]
        if key not in keys and key not in constant and not key.startswith(beginnings)
    ]


def test_numbers_decide_the_form() -> None:
    """English has two forms, Chinese one."""
    assert ["1 second", "2 seconds"] == [
        re.search(r"\d seconds?", messages("en")("log_in.wait", count=count))[0]  # type: ignore[index]
        for count in (1, 2)
    ]
    assert "1 秒" in messages("zh-CN")("log_in.wait", count=1)


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "", "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        (None, "en-GB,zh;q=0.9", "en"),
        (None, "de,fr;q=0.9", "en"),
        (None, "de,zh-Hans;q=0.5", "zh-CN"),
        (None, "zh;q=0,en;q=0.1", "en"),
        (None, "en;q=0.2, zh-SG;q=0.7", "zh-CN"),
        (None, "q=;;,,;q=x", "en"),
        ("zh-CN", "en", "zh-CN"),
        ("../../etc", "en", "en"),
    ],
)
def test_the_language_is_what_was_chosen_or_preferred(
    chosen: str | None, accepted: str, language: str
) -> None:
    """A choice wins; else the browser's first language that there is; else English."""
    assert language == preferred(chosen, accepted)
