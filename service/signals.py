"""What signals ask of a process; a handler only sets a flag, which the loop finds in its own time.

SIGTERM and SIGINT ask for the end, SIGHUP for the configuration to be read again. When a terminal
is closed, its SIGHUP ends the process at once, as it does with other programs.
"""

import os
import signal
from types import FrameType

STANDARD_ERROR = 2


class Signals:
    """What was asked so far.

    Attributes:
        stop: whether the end was asked for; a second request ends the process at once.
        reload: whether SIGHUP came since `take_reload`.
    """

    def __init__(self) -> None:
        """Nothing was asked; nobody listens yet."""
        self.stop = False
        self.reload = False
        self._had_terminal = os.isatty(STANDARD_ERROR)

    def listen(self) -> None:
        """Take the signals from now on; what was asked before stays asked."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hang_up)

    def take_reload(self) -> bool:
        """Return whether SIGHUP came, and forget it; however often it came, it is one request."""
        asked, self.reload = self.reload, False
        return asked

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stop:
            _die_of(number)
        self.stop = True

    def _on_hang_up(self, number: int, _frame: FrameType | None) -> None:
        if self._had_terminal and not os.isatty(STANDARD_ERROR):
            _die_of(number)
        self.reload = True


def _die_of(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
