"""Results to look through: scans, colored files and a ledger, made without a daemon."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from tests.support.synthetic_photos import color_scene, gray_scene, save

FIRST = 1_760_000_000.0  # when the first was colored; each next one a minute later


def archive(
    folder: Path, names: Sequence[str], *, files: bool = True, config: Config | None = None
) -> Config:
    """Make a service's folders with results, in the order of their coloring.

    Args:
        folder: of the service.
        names: paths of the scans in the inbox.
        files: whether there are pictures too, not the ledger alone.
        config: its settings.
    """
    config = (config or Config()).beside(folder)
    make_folders(config.folders.values())
    for number, name in enumerate(names):
        add(config, name, number, files=files)
    return config


def add(
    config: Config,
    name: str,
    number: int = 0,
    *,
    files: bool = True,
    model: str = "1",
    held: bool = False,
) -> Job:
    """Color a scan: the photo `number` of a made-up series, of which every third is doubtful."""
    path, now = PurePosixPath(name), FIRST + 60.0 * number
    scan, colored = config.originals.folder / path, config.outbox / path
    digests = [hashlib.sha256(f"{name} {side}".encode()).hexdigest() for side in ("scan", "result")]
    stat = safe_open.FileStat(size=1, mtime_ns=10**18, inode=number, device=1)
    if files:
        for target, picture in ((scan, gray_scene), (colored, color_scene)):
            target.parent.mkdir(parents=True, exist_ok=True)
            save(target, picture(180 + number % 3 * 60, 240, seed=number))
        digests = [safe_open.digest(target) for target in (scan, colored)]
        found = safe_open.file_stat(scan)
        assert found
        stat = found
    with Ledger(config.state / LEDGER_FILE) as ledger:
        job, _ = ledger.enqueue(path, digests[0], stat, path, now)
        for other in ledger.claim(99, now, in_flight=0):
            if other.id != job.id:
                ledger.unclaim(other.id, now)
        doubt = 0.2 if number % 3 == 0 else 0.8
        job = ledger.finish(
            *(job.id,),
            model=model,
            now=now,
            output_digest=digests[1],
            event=f"event {number}",
            confidence=doubt,
            held=held,
        )
        ledger.record_originals([(job.id, path)])
    return job
