"""Photos as a daemon leaves them: original, result, sidecar and ledger; contents are made up."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage import moves
from service.storage.deliveries import Own
from service.storage.sidecar import Choice, deliver_sidecar, describe
from tests.support.staged_delivery import deliver
from worker.metadata.provenance import Origin, PageRecord, Record

PAGE = PageRecord(4, 3, 16, 16, "Gamma 2.2", "sRGB", "a" * 64, "b" * 64)
CONFIDENCE = 0.25
CHANGE = 1.5  # of what was colored again
REASON = "the file is cut short"
RECORD = Record("tiff", (PAGE,), {"format": "same"}, "http://cv.iptc.org/newscodes/example")


def place(folder: Path, config: Config | None = None) -> Config:
    """Make the folders of a configuration."""
    config = (config or Config()).beside(folder)
    make_folders(config.folders.values())
    return config


def place_with_ledger(folder: Path) -> Config:
    """Make the folders and an empty ledger."""
    config = place(folder)
    Ledger(config.state / LEDGER_FILE).close()
    return config


def queue(config: Config, name: str, content: bytes | None = None) -> Job:
    """Drop a scan into the inbox and queue it; without content it is no image."""
    path = PurePosixPath(name)
    scan = config.inbox / path
    scan.parent.mkdir(parents=True, exist_ok=True)
    scan.write_bytes(content or b"gray " + name.encode("utf-8", "surrogateescape"))
    stat = safe_open.file_stat(scan)
    assert stat
    with Ledger(config.state / LEDGER_FILE) as ledger:
        return ledger.enqueue(path, safe_open.digest(scan), stat, path, 0.0)[0]


def color(
    config: Config,
    name: str,
    *,
    scan: bytes | None = None,
    result: bytes | None = None,
    pages: int = 1,
    sidecar: bool = True,
    digest: bool = True,
) -> Job:
    """Queue a scan and do with it all that a daemon does; or all that an earlier one did."""
    job = queue(config, name, scan)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for other in ledger.claim(99, 0.0, in_flight=0):
            if other.id != job.id:
                ledger.unclaim(other.id, 0.0)
        return finish(
            config, ledger, job, result=result, pages=pages, sidecar=sidecar, digest=digest
        )


def reject(config: Config, name: str, scan: bytes | None = None) -> Job:
    """Queue a scan and reject it, as a daemon does, for the reason `REASON`."""
    job = queue(config, name, scan)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        job = ledger.fail(job.id, REASON, 1.0)
    moves.reject(config.inbox / name, config.inbox, config.rejected, REASON)
    return job


def finish(
    config: Config,
    ledger: Ledger,
    job: Job,
    *,
    result: bytes | None = None,
    pages: int = 1,
    sidecar: bool = True,
    digest: bool = True,
) -> Job:
    """Bring a job that was claimed to its end."""

    def write(file: BinaryIO) -> Record:
        file.write(result or b"color " + job.path.name.encode("utf-8", "surrogateescape"))
        return replace(RECORD, pages=(PAGE,) * pages)

    event = str(uuid.uuid4())
    now = datetime.now(UTC)
    origin = Origin(job.path.name, job.digest, "7", "d" * 64, "photochrom 0.1.0", event, now)
    own = Own(job)
    change = CHANGE if job.recolor else None
    delivered = deliver(config.outbox, job.output, write, own=own)
    if sidecar:
        about = describe(
            origin,
            delivered,
            source=job.path,
            stat=job.stat,
            output=job.output,
            read=now,
            choice=Choice(
                job.settings.even_if_colored, job.settings.wishes(config.color), CONFIDENCE, change
            ),
        )
        deliver_sidecar(config.outbox, about, own=own)
    job = ledger.finish(
        job.id,
        model="7",
        now=1.0,
        output_digest=delivered.sha256 if digest else None,
        event=event if sidecar else None,
        confidence=CONFIDENCE if sidecar else None,
        change=change if sidecar else None,
    )
    scan = config.inbox / job.path
    if config.originals.after == "move" and scan.exists():
        target = moves.archive(scan, config.inbox, config.originals.folder).place
        place = PurePosixPath(target.relative_to(config.originals.folder))
        ledger.record_originals([(job.id, place)])
    return job
