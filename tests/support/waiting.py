"""Waiting in tests: on a condition and with a deadline, never a bare sleep."""

import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return as soon as a condition holds; fail when it does not within the seconds given."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            message = f"waited {seconds} s in vain"
            raise AssertionError(message)
        pause.wait(0.02)
