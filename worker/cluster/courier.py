"""Reads scans and writes results on the daemon's machine, for workers without shared storage."""

import hashlib
import os
from pathlib import Path

from worker.atomic import digest_from_disk
from worker.cluster.messages import Painted
from worker.cluster.node_worker import Content
from worker.errors import SourceChanged
from worker.inference.engine import Task, failed
from worker.inference.task_files import TaskFiles


class Courier:
    """Carries the content of files; safe in any thread.

    Args:
        files: opens them.
    """

    def __init__(self, files: TaskFiles) -> None:
        """Carry nothing yet."""
        self._files = files

    def fetch(self, task: Task) -> Content | Painted:
        """Read a scan, or say why it cannot be read."""
        try:
            with self._files.open_source(task) as (path, file, xmp_files):
                scan = path.read_bytes() if file is None else file.readall()
                if hashlib.sha256(scan).hexdigest() != task.source.sha256:
                    raise SourceChanged  # noqa: TRY301 - as the files of a task do
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            return Painted.of(failed(task, error))
        return Content(scan, xmp_files, *self._earlier(task))

    def _earlier(self, task: Task) -> tuple[bytes | None, str, str]:
        """Read the earlier result, if there is one; with its name, and why it cannot be read."""
        if not task.source.recolor:
            return None, "", ""
        try:
            with self._files.open_earlier(task) as file:
                return (None, "", "") if file is None else (file.readall(), str(file.name), "")
        except Exception as error:  # noqa: BLE001 - the new result is whole, compared or not
            return None, "", str(error) or repr(error)

    def store(self, task: Task, painted: Painted) -> Painted:
        """Write a result into its staging file, or say why that cannot be done."""
        sha256 = hashlib.sha256(painted.written).hexdigest()
        try:
            with self._files.open_staging(task) as file:
                file.write(painted.written)
                file.flush()
                os.fsync(file.fileno())
                if digest_from_disk(Path(file.name)) != sha256:
                    raise OSError(f"{task.staging} is not what was written to it")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            return Painted.of(failed(task, error), painted.batches)
        return painted._replace(written=b"")
