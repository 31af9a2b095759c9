"""Whatever a name is made of, a terminal only shows it; a bar for people, silence for machines."""

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.terminal import as_json, printable, progress_bar

ANY = st.text(st.characters())  # surrogates too: a name that is not UTF-8


@given(ANY)
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    """No control, no invisible format character, no line end, and it can be encoded."""
    shown = printable(text)

    assert set() == {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(one) for one in shown}
    assert shown == shown.encode("utf-8").decode()
    assert shown == printable(shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Mn"]) | st.just(" ")))
def test_a_name_for_people_stays_as_it_is(text: str) -> None:
    """In every script."""
    assert text == printable(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (r"a\x1b[2Jb", "a\x1b[2Jb"),
        (r"a\nb\r\t", "a\nb\r\t"),
        (r"a\x9b31m\x7f", "a\x9b31m\x7f"),
        (r"fdp\u202eftit.exe", "fdp\u202eftit.exe"),
        (r"a\u200bb\ufeff", "a\u200bb\ufeff"),
        (r"caf\udce9", "caf\udce9"),
        (r"a\u2028b", "a\u2028b"),
        (r"\U000e0041", "\U000e0041"),
        ("größer שלום 写真", "größer שלום 写真"),
    ],
)
def test_what_is_written_out_can_be_read(expected: str, text: str) -> None:
    """As Python writes it."""
    assert expected == printable(text)


def test_line_ends_stay_where_they_are_wanted() -> None:
    """In a traceback."""
    assert "a\n\\x1bb\n" == printable("a\n\x1bb\n", keep="\n")


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_is_the_same_and_only_shows(value: object) -> None:
    """Read back it is what was written; a terminal obeys nothing of it, in any encoding."""
    for encoding in ("utf-8", "ascii", "latin-1"):
        text = as_json(value, indent=None, encoding=encoding)

        assert value == json.loads(text.encode(encoding).decode(encoding))
        assert text.isprintable()


def test_json_leaves_letters_as_they_are() -> None:
    """So that `grep Müller` finds them."""
    assert '{\n  "path": "Müller/東京 Київ.tif"\n}' == as_json({"path": "Müller/東京 Київ.tif"})


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(("stream", "shown"), [(io.StringIO(), True), (Terminal(), False)])
def test_nothing_is_drawn_without_a_terminal_or_a_wish(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, shown: bool
) -> None:
    """The report can be called all the same."""
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar("photos", shown=shown) as report:
        report(1, 2, "words")

    assert "" == stream.getvalue()


def test_a_terminal_sees_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its title, the share that is done, and the words."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar("photos") as report:
        report(0, 0, "")
        report(1, 4, "first words")

    assert "photos" in stream.getvalue()
    assert "25%" in stream.getvalue()
    assert "first words" in stream.getvalue()


def test_a_length_that_is_not_known_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after something else was counted on the same bar."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", stream)
    with progress_bar("photos") as report:
        report(1, 4, "counted")
        stream.truncate(0)
        report(0, 0, "not counted")

    last = stream.getvalue().rpartition("not counted")[0].rpartition("photos")[2]
    assert "%" not in last
