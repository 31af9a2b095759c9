"""Notifies systemd of the daemon's state (sd_notify(3)); does nothing without systemd.

A message that cannot be sent never stops the daemon; the first failure in a row is logged.
"""

import os
import socket
from collections.abc import Mapping

import structlog

LONGEST_SEND = 1.0  # seconds; a slow systemd must not delay the work
SLOWEST_BEAT = 10.0  # seconds between two heartbeats; a shorter watchdog is pinged more often
LONGEST_START = 600.0  # seconds for each slow step of the startup, such as loading the model
LONGEST_STATUS = 500  # characters, to keep the datagram small

log = structlog.get_logger()


class Notifier:
    """Sends notifications to the socket that systemd named.

    Args:
        environment: of this process; reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.

    Attributes:
        wanted: whether systemd listens.
        beat: seconds between two heartbeats.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Send nothing yet."""
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading "@" means an abstract socket, whose name begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._silent = False
        self.wanted = bool(address)
        self.beat = SLOWEST_BEAT
        watchdog = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if ours and watchdog.isdigit() and int(watchdog):
            self.beat = min(SLOWEST_BEAT, int(watchdog) / 1e6 / 4)

    def starting(self) -> None:
        """Ask for time: a slow step of the startup begins."""
        self._send(f"EXTEND_TIMEOUT_USEC={LONGEST_START * 1e6:.0f}")

    def ready(self) -> None:
        """Report that the daemon is ready."""
        self._send("READY=1")

    def reloading(self, now: float) -> None:
        """Report a reload; `ready` follows, whatever comes of it.

        Args:
            now: monotonic seconds.
        """
        self._send("RELOADING=1", f"MONOTONIC_USEC={now * 1e6:.0f}")

    def alive(self, status: str, *, well: bool) -> None:
        """Send the status line, and ping the watchdog unless the daemon is stalled.

        Args:
            status: one line for people.
            well: False lets the watchdog restart the daemon.
        """
        line = " ".join(status.split())[:LONGEST_STATUS]
        self._send(f"STATUS={line}", *(["WATCHDOG=1"] if well else []))

    def stopping(self, seconds: float) -> None:
        """Report the shutdown and how long it may take."""
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
                reason = f"cannot notify systemd: {error.strerror or error}"
                log.warning("systemd.silent", reason=reason)
            self._silent = True
        else:
            self._silent = False
