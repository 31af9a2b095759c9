"""Signal handling: a handler only sets a flag, which the main loop checks.

SIGTERM and SIGINT stop the process, SIGHUP reloads the configuration. The SIGHUP of a closing
terminal ends the process at once, as in other programs.
"""

import os
import signal
from types import FrameType

STANDARD_ERROR = 2


class Signals:
    """The signals received so far.

    Attributes:
        stop: whether a stop was requested; a second request ends the process at once.
        reload: whether SIGHUP came since `take_reload`.
    """

    def __init__(self) -> None:
        """Install no handlers yet."""
        self.stop = False
        self.reload = False
        self._had_terminal = os.isatty(STANDARD_ERROR)

    def listen(self) -> None:
        """Install the handlers; earlier requests are kept."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_hang_up)

    def take_reload(self) -> bool:
        """Return whether SIGHUP came, and reset it; several are one request."""
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
    """End the process as this signal does by default."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
