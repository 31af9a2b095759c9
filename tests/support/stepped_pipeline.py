"""A pipeline with real files and ledger, a fake device, and a clock that the test sets."""

import threading
from pathlib import Path, PurePosixPath
from typing import Any

from service.config.loader import Config
from service.config.sections import Batching, Retry
from service.filesystem import safe_open
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.pipeline.engines import local_engine
from service.pipeline.pipeline import Pipeline
from tests.support.fakes import FakeColorist, FakeInbox
from tests.support.folder_listing import files
from tests.support.synthetic_photos import Array, gray_scene, save
from tests.support.waiting import wait_until

RETRY = Retry(attempts=3, first_wait=10.0, longest_wait=35.0)


class Line:
    """A pipeline with all it needs, and a clock."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        """Open a ledger in the folder and start the pipeline's threads."""
        batch = Batching(longest_wait=0.0)
        self.config = Config(**{"batch": batch, "retry": RETRY, **sections}).beside(folder)
        for each in self.config.folders.values():
            each.mkdir()
        self.ledger = Ledger(self.config.state / LEDGER_FILE)
        self.colorist = FakeColorist()
        self.now = 1000.0  # monotonic seconds and seconds since 1970 are one clock here
        self.woken = threading.Event()
        self.inbox = FakeInbox()
        self.pipeline = self.make_pipeline(self.config)

    def make_pipeline(self, config: Config) -> Pipeline:
        """Make a pipeline with an engine of its own."""
        places = FolderMonitor(config.folders, config.limits.free_space)
        engine = local_engine(config, self.colorist, places)
        return Pipeline(config, self.ledger, engine, places, self.woken.set, self.inbox)

    def drop(self, name: str, pixels: Array | None = None) -> Job:
        """Put a scan in the inbox and queue it, as the daemon does."""
        path = self.config.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, gray_scene(24, 32) if pixels is None else pixels)
        return self.queue(name)

    def queue(self, name: str) -> Job:
        """Queue what is in the inbox under a name."""
        path = self.config.inbox / name
        looks = safe_open.file_stat(path)
        assert looks is not None
        relative = PurePosixPath(name)
        return self.ledger.enqueue(relative, safe_open.digest(path), looks, relative, self.now)[0]

    def step(self) -> None:
        """Do one step at the time of the clock."""
        self.pipeline.step(self.now, self.now)

    def run(self) -> None:
        """Step, without time passing, until nothing is in hand and nothing more can be claimed."""
        wait_until(self._idle, 60)

    def _idle(self) -> bool:
        self.step()
        if self.pipeline.busy:
            return False
        self.step()
        return not self.pipeline.busy

    def job(self, job_id: int) -> Job:
        """Look a job up in the ledger."""
        found = self.ledger.queries._one("id = ?", job_id)
        assert found is not None
        return found

    def files(self) -> dict[str, list[str]]:
        """List what is in each folder of photos."""
        return {
            folder.name: files(folder)
            for folder in (
                self.config.inbox,
                self.config.outbox,
                self.config.originals.folder,
                self.config.rejected,
                *([self.config.review.folder] if self.config.review.may_hold else []),
            )
        }
