"""Which files in the outbox a job wrote, and may therefore replace.

The ledger knows the results of finished jobs, but not what a daemon delivered just before it was
killed. So before a result gets its name, the ledger notes what is about to be delivered
(`Ledger.note_delivery`).
"""

import shutil
from contextlib import suppress
from pathlib import Path

from service.filesystem.safe_open import digest
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.storage.sidecar import SidecarError, read_sidecar

FOLDER = "delivering"  # in the state folder, where earlier versions kept these notes


class Own:
    """The files that one job wrote to the outbox.

    Args:
        job: the job.
        delivered: SHA-256 and coloring's UUID of what is noted besides what the job knows.
    """

    def __init__(self, job: Job, *delivered: str) -> None:
        """Read nothing yet."""
        self._job = job
        self._noted = {*job.in_delivery, *delivered}

    def has(self, path: Path) -> bool:
        """Tell whether this job may replace a file.

        It may if it wrote the file, if `verify --repair` found the file altered, or if the digest
        of its earlier result is unknown, because an earlier photochrom delivered it.

        Raises:
            OSError: the file cannot be read.
        """
        job = self._job
        if job.repair:
            return True
        if path.name == job.output.name and job.recolor and job.output_digest is None:
            return True
        with suppress(FileNotFoundError):  # not a regular file
            return digest(path) in self._noted | {job.output_digest} or self._is_sidecar(path)
        return False

    def _is_sidecar(self, path: Path) -> bool:
        """Tell whether a file is the sidecar of the job's earlier result, or of a noted one."""
        with suppress(SidecarError):
            return str(read_sidecar(path).event) in self._noted | {self._job.event}
        return False


def adopt(state: Path, ledger: Ledger) -> None:
    """Enter in the ledger what an earlier version noted in files, and delete those; for startup.

    Raises:
        DeviceError: the ledger cannot be used now.
        OSError: they cannot be read or deleted.
    """
    with suppress(FileNotFoundError):
        with ledger.transaction():
            for path in (state / FOLDER).iterdir():
                if path.name.isdecimal():
                    for noted in path.read_text(encoding="ascii").split():
                        ledger.note_delivery(int(path.name), noted)
        discard(state)


def discard(state: Path) -> None:
    """Delete what an earlier version noted in files, of a ledger that is lost."""
    shutil.rmtree(state / FOLDER, ignore_errors=True)
