"""One life of the real daemon with a fake device, whose decoder eats up memory on some photos.

`python -m tests.support.memory_hungry_daemon HOME LIMIT` does all that waits in HOME. LIMIT is a
control group that limits memory, whose process the kernel then kills, or "" where there is none to
be had; then the decoder does itself what the kernel would do. The exit code is the life's.
"""

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from service.config.sections import Retry
from tests.support.fake_device_daemon import config_of, live
from worker import scan
from worker.scan import Scan
from worker.settings import ReadSettings

HUNGRY = "hungry"  # how the names of such photos begin
PIECE = 1 << 24  # bytes that are eaten at a time
ATTEMPTS = 3


def eat(path: Path, settings: ReadSettings, file: io.FileIO, *rest: Any) -> Scan:
    """Read a photo, or be killed over it."""
    if not path.name.startswith(HUNGRY):
        return read(path, settings, file, *rest)
    eaten = []
    while sys.argv[2]:
        eaten.append(b"x" * PIECE)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


if __name__ == "__main__":
    if sys.argv[2]:
        (Path(sys.argv[2]) / "cgroup.procs").write_text(str(os.getpid()))
    read, scan.read = scan.read, eat
    retry = Retry(attempts=ATTEMPTS, first_wait=0.05, longest_wait=0.1)
    sys.exit(live(config_of(Path(sys.argv[1])).model_copy(update={"retry": retry})))
