"""Log lines are JSON for machines and readable for people, whatever a path is made of."""

import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from service.log import set_up_logging

ODD = Path("caf\udce9.jpg")


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


@pytest.fixture(autouse=True)
def _set_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_elsewhere_than_on_a_terminal_each_line_is_json() -> None:
    """With the event, its keys, the level and the time in UTC."""
    stream = io.StringIO()
    set_up_logging("info", "auto", stream)
    structlog.get_logger().info("photo.delivered", job=3, path=Path("a/b.jpg"))
    line = json.loads(stream.getvalue())
    offset = datetime.fromisoformat(line.pop("timestamp")).utcoffset()

    assert {"event": "photo.delivered", "job": 3, "path": "a/b.jpg", "level": "info"} == line
    assert offset is not None
    assert not offset


def test_on_a_terminal_lines_are_for_people() -> None:
    """In color."""
    stream = Terminal()
    set_up_logging("info", "auto", stream)
    structlog.get_logger().info("photo.delivered", job=3)

    assert "photo.delivered" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_name_that_is_not_utf8_is_logged_escaped(
    tmp_path: Path,
    log_format: str,
) -> None:
    """To a strict stream, as text, as a path, and inside a list."""
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        set_up_logging("info", log_format, stream)  # type: ignore[arg-type]
        structlog.get_logger().info("odd", path=ODD, text=str(ODD), both=[str(ODD)])
        try:
            Path("/none", ODD).read_bytes()
        except OSError:
            structlog.get_logger().exception("failed")
    text = (tmp_path / "log").read_text(encoding="utf-8")

    assert r"\udce9.jpg" in text
    assert "No such file" in text


def test_a_search_finds_names_in_every_script() -> None:
    """In texts, paths and lists; JSON's escapes are for what would not be shown."""
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    structlog.get_logger().info("photo.rejected", path=Path("Müller/東京.tif"), both=["Київ", ODD])

    assert "Müller/東京.tif" in stream.getvalue()
    assert "Київ" in stream.getvalue()
    assert stream.getvalue().rstrip("\n").isprintable()


def test_lines_below_the_level_are_dropped() -> None:
    """And those at it are not."""
    stream = io.StringIO()
    set_up_logging("warning", "json", stream)
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")

    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_warnings_of_libraries_come_through_the_same_way() -> None:
    """Their chatter does not."""
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    logging.getLogger("watchdog").info("chatter")
    logging.getLogger("watchdog").warning("queue %s", "overflowed")
    line = json.loads(stream.getvalue())

    assert "library.message" == line["event"]
    assert "watchdog" == line["library"]
    assert "queue overflowed" == line["message"]
    assert "warning" == line["level"]


NASTY = "a\x1b[2J\n2026-01-01 [info     ] photo.delivered \u202e\x9b31m\r"


class TestNamesThatWouldPaint:
    """A file's name may hold what a terminal obeys; the log only shows it."""

    def shown(self, **values: object) -> list[str]:
        """Log a warning to a terminal, without the colors of the log's own."""
        stream = Terminal()
        set_up_logging("info", "auto", stream)
        structlog.get_logger().warning("photo.rejected", **values)
        return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()

    @pytest.mark.parametrize("value", [NASTY, Path(NASTY), (NASTY,), {"name": NASTY}])
    def test_a_value_paints_nothing_and_fakes_no_line(self, value: object) -> None:
        """Wherever in the value it stands."""
        lines = self.shown(path=value, count=3, lost=None)

        assert 1 == len(lines)
        assert lines[0].isprintable()
        assert r"\x1b[2J" in lines[0]
        assert "count=3" in lines[0]

    def test_a_traceback_paints_nothing_and_fakes_no_line(self) -> None:
        """Its lines are indented, those of the message too."""
        try:
            int(NASTY)
        except ValueError as error:
            error.args = (NASTY,)
            first, *others = self.shown(exc_info=True)

        assert first.isprintable()
        assert any("ValueError" in line for line in others)
        assert all(line.startswith("  ") and line.isprintable() for line in others)

    def test_json_paints_nothing_either(self) -> None:
        """And says the name as it is."""
        stream = io.StringIO()
        set_up_logging("info", "json", stream)
        structlog.get_logger().warning("photo.rejected", path=Path(NASTY))

        assert stream.getvalue().rstrip("\n").isprintable()
        assert NASTY == json.loads(stream.getvalue())["path"]
