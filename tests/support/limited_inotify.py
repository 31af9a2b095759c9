"""Watches an inbox where the kernel grants few watches, and prints what it sees, as JSON.

Started by tests in a user namespace of its own, where the limit can be set:
`unshare -r python -m tests.support.limited_inotify INBOX FOLDERS LIMIT`. The limit then rises.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from service.config.sections import Watch
from service.watch.stability import StableFile
from service.watch.watcher import Watcher

SETTLE, RESCAN = 2.0, 60.0
LIMIT = Path("/proc/sys/user/max_inotify_watches")


def observe(inbox: Path, folders: int, limit: int) -> dict[str, Any]:
    """Start under a limit, drop a file in each folder, raise the limit; tell what came of it."""
    for number in range(folders):
        (inbox / f"{number:02}").mkdir(parents=True)
    LIMIT.write_text(str(limit))
    told: list[str] = []

    def note(files: Sequence[StableFile]) -> list[str | Exception]:
        told.extend(str(file.path.relative_to(inbox)) for file in files)
        return [""] * len(files)

    watcher = Watcher(
        inbox,
        Watch(settle=SETTLE, rescan=RESCAN, polling="never"),
        on_stable=note,
        wake=lambda: None,
    )
    seen: dict[str, Any] = {}
    now = 1000.0
    with capture_logs() as logs:
        watcher.start(now)
        watcher.step(now)
        seen["alive"] = watcher.emitters_alive()
        seen["unannounced"] = watcher.unannounced
        for number in range(folders):
            (inbox / f"{number:02}" / "a.jpg").write_text("photo")
        for _ in range(3):  # three rescans: found by the first, told after its settle time
            now += RESCAN
            watcher.step(now)
            watcher.step(now + SETTLE)
            while watcher.next_due(now + SETTLE) == 0.0:
                watcher.step(now + SETTLE)
            seen.setdefault("told by the first rescan", len(told))
        LIMIT.write_text("1000")
        now += RESCAN
        watcher.step(now)
        seen["told"] = len(told)
        seen["then alive"] = watcher.emitters_alive()
        seen["then unannounced"] = watcher.unannounced
    watcher.stop()
    seen["rebuilt"] = watcher.rebuilt
    seen["logs"] = [{key: value for key, value in line.items() if key != "inbox"} for line in logs]
    return seen


if __name__ == "__main__":
    json.dump(observe(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
