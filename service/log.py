"""Log lines: JSON for machines, colored text on a terminal; no file name breaks a line."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from functools import partial
from pathlib import PurePath
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import ExcInfo, Processor, WrappedLogger

from service.terminal import as_json, printable

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]


def set_up_logging(level: LogLevel, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send all log lines to a stream, including libraries' warnings, as `library.message`.

    Args:
        level: lines below it are dropped.
        log_format: "auto" means "console" on a terminal and "json" otherwise.
        stream: standard error by default.
    """
    stream = sys.stderr if stream is None else stream
    log_to(stream, level, log_format)
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


def log_to(stream: TextIO, level: LogLevel = "info", log_format: LogFormat = "auto") -> None:
    """Send photochrom's own log lines to a stream; without this call they go to standard output.

    Args:
        stream: the destination.
        level: lines below it are dropped.
        log_format: as for `set_up_logging`.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "console" or (log_format == "auto" and stream.isatty()):
        renderer: Processor = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=_traceback
        )
        processors.append(_escaped)
    else:
        processors.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer(
            partial(as_json, indent=None, encoding=stream.encoding or "utf-8")
        )
    structlog.configure(
        processors=[*processors, _as_text, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )


class _LibraryHandler(logging.Handler):
    """Passes records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno,
                "library.message",
                library=record.name,
                message=record.getMessage(),
                exc_info=record.exc_info,
            )
        except Exception:  # noqa: BLE001 - logging.Handler.emit must not raise; handleError reports
            self.handleError(record)


def _escaped(
    _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escape control characters, so that no file name can fake a log line."""
    for key, value in event.items():
        if key == "exception":  # a traceback that came as text, from an engine
            event[key] = _indented(str(value))
        elif not isinstance(value, bool | int | float | None) and key != "exc_info":
            event[key] = printable(str(value))
    return event


def _traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback indented, so that nothing in it looks like a log line."""
    stream.write("\n" + _indented("".join(traceback.format_exception(*exc_info)).rstrip("\n")))


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.split("\n"))


def _as_text(
    _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    r"""Turn paths into text, with bytes that are not UTF-8 escaped as `\udcff`."""
    for key, value in event.items():
        text = str(value) if isinstance(value, PurePath) else value
        if isinstance(text, str):
            safe = text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
            event[key] = safe
    return event
