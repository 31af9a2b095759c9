"""A bar for people, silence for machines."""

import io

import pytest

from service.progress import progress_bar


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
