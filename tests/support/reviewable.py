"""Results to look through: scans, colored files and a ledger, made without a daemon."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from tests.support.synthetic_photos import color_scene, gray_scene, save

FIRST = 1_760_000_000.0  # when the first was colored; each next one a minute later


def archive(
    folder: Path, names: Sequence[str], *, files: bool = False, config: Config | None = None
) -> Config:
    """Make a service's folders with results, in the order of their coloring.

    Every third is doubtful, and the second half is of another model.

    Args:
        folder: of the service.
        names: paths of the scans in the inbox.
        files: whether there are pictures too, not the ledger alone.
        config: its settings.
    """
    config = (config or Config()).beside(folder)
    make_folders(config.folders.values())
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for number, name in enumerate(names):
            model = str(1 + 2 * number // len(names))
            add(config, ledger, name, number, files=files, model=model)
    return config


def add(
    config: Config,
    ledger: Ledger,
    name: str,
    number: int,
    *,
    files: bool = False,
    **result: Any,
) -> Job:
    """Color the photo `number` of a made-up series; `result` is what `Ledger.finish` takes."""
    path, now = PurePosixPath(name), FIRST + 60.0 * number
    scan, colored = config.originals.folder / path, config.outbox / path
    digests = [hashlib.sha256(f"{number} {side}".encode()).hexdigest() for side in ("scan", "it")]
    stat = FileStat(size=1, mtime_ns=10**18, inode=number, device=1)
    if files:
        for target, picture in ((scan, gray_scene), (colored, color_scene)):
            target.parent.mkdir(parents=True, exist_ok=True)
            save(target, picture(180 + number % 3 * 60, 240, seed=number))
        digests = [safe_open.digest(target) for target in (scan, colored)]
        stat = safe_open.file_stat(scan) or stat
    job, _ = ledger.enqueue(path, digests[0], stat, path, now)
    ledger.claim(1, now, in_flight=0)
    made = {
        "model": "1",
        "output_digest": digests[1],
        "event": f"event {number}",
        "confidence": 0.2 if number % 3 == 0 else 0.8,
        **result,
    }
    finished = ledger.finish(job.id, now=now, **made)
    ledger.record_originals([(job.id, path)])
    return finished
