"""A bridge without a cluster, for what an engine does: it says what a test writes into a folder.

`orders` gets a line for each order; lines of `replies` are said; with `die` it ends.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from worker.cluster.messages import ClusterSettings, End, Order, State, line_of, message_of


def main() -> None:
    """Say what is asked for, until the input ends or a file says so."""
    settings = message_of(sys.stdin.buffer.readline())
    assert isinstance(settings, ClusterSettings)
    folder = Path(json.loads(settings.parts)["folder"])
    threading.Thread(target=write_replies, args=(folder,), daemon=True).start()
    say(line_of(State(2, (), 0, 0)))
    for line in sys.stdin.buffer:
        message = message_of(line)
        if isinstance(message, End):
            os._exit(0)
        if isinstance(message, Order):
            with (folder / "orders").open("ab") as file:
                file.write(line)


def write_replies(folder: Path) -> None:
    """Say each line of the replies once, and look whether to die."""
    said = 0
    while True:
        replies = folder / "replies"
        lines = replies.read_bytes().splitlines(keepends=True) if replies.exists() else []
        for line in lines[said:]:
            say(line)
        said = len(lines)
        if (folder / "die").exists():
            (folder / "die").unlink()
            os._exit(1)
        time.sleep(0.01)


def say(line: bytes) -> None:
    """Write a line at once."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
