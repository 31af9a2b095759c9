"""Tells systemd how the daemon stands (the protocol of sd_notify(3)); without systemd, nobody.

A message that cannot be sent never ends the daemon; the first in a row is logged.
"""

import os
import socket
from collections.abc import Mapping

import structlog

LONGEST_SEND = 1.0  # seconds; systemd may be slow, and the work must not wait for it
SLOWEST_BEAT = 10.0  # seconds between two signs of life; a shorter watchdog is fed more often
LONGEST_START = 600.0  # seconds a slow disk and a slow card may need for each step of the start
LONGEST_STATUS = 500  # characters, so that no datagram is refused for its size

log = structlog.get_logger()


class Notifier:
    """Sends what systemd wants to know to the socket it named.

    Attributes:
        wanted: whether anybody listens.
        beat: seconds between two signs of life.

    Args:
        environment: of this process; `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are read.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Nothing is sent yet."""
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract socket's name.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._silent = False
        self.wanted = bool(address)
        self.beat = SLOWEST_BEAT
        watchdog = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if ours and watchdog.isdigit() and int(watchdog):
            self.beat = min(SLOWEST_BEAT, int(watchdog) / 1e6 / 4)

    def starting(self) -> None:
        """Say that a slow step of the start begins."""
        self._send(f"EXTEND_TIMEOUT_USEC={LONGEST_START * 1e6:.0f}")

    def ready(self) -> None:
        """Say that the work begins."""
        self._send("READY=1")

    def reloading(self, now: float) -> None:
        """Say that the configuration is read again; `ready` follows, whatever comes of it.

        Args:
            now: monotonic seconds.
        """
        self._send("RELOADING=1", f"MONOTONIC_USEC={now * 1e6:.0f}")

    def alive(self, status: str, *, well: bool) -> None:
        """Say how it goes, and feed the watchdog if all is well; else it will bite.

        Args:
            status: one line for people.
            well: whether the work makes progress.
        """
        line = " ".join(status.split())[:LONGEST_STATUS]
        self._send(f"STATUS={line}", *(["WATCHDOG=1"] if well else []))

    def stopping(self, seconds: float) -> None:
        """Say that the end has begun, and how long it may take."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={seconds * 1e6:.0f}")

    def _send(self, *lines: str) -> None:
        if not self.wanted:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.settimeout(LONGEST_SEND)
                out.sendto(os.fsencode("\n".join(lines)), self._address)
        except OSError as error:
            if not self._silent:
                reason = f"{error.strerror or error}; systemd cannot be told how it goes"
                log.warning("systemd.silent", reason=reason)
            self._silent = True
        else:
            self._silent = False
