"""Whether another version was promoted: it is loaded beside the one that colors, and handed over.

Looking is one `stat` now and then. Reading the history, loading and the canary happen in a thread,
so that the photos go on meanwhile. A version that cannot serve is refused once, and told of; the
history must change before anything is tried again.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import structlog

from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import file_stat
from service.ledger.ledger import ActiveModel
from service.pipeline.protocols import Predictor
from worker.errors import PhotochromError
from worker.models.promotions import PROMOTIONS_FILE

LOOK_EVERY = 2.0  # seconds

log = structlog.get_logger()


class LoadsModels(Protocol):
    """What is needed of `service.daemon.model_loading.Loader`; tests bring their own."""

    def promoted(self) -> str:
        """Name the version that is promoted."""

    def load(self, name: str) -> Predictor:
        """Load a version and try it; raises ModelError when it is not fit to serve."""


class _Found(NamedTuple):
    """What a look at the history led to; `version` is None where it could not be read."""

    version: str | None
    colorist: Predictor | None = None
    error: Exception | None = None


class ModelWatch:
    """Brings the promoted version.

    Args:
        folder: of the model store, whose history of promotions is watched; need not be there.
        loader: loads it.
        serving: what serves now, and which promoted version was refused at the start, if any.

    Attributes:
        serving: what serves, kept up to date.
    """

    def __init__(self, folder: Path, loader: LoadsModels, serving: ActiveModel) -> None:
        """Nothing was looked at yet."""
        self.serving = serving
        self._promotions = folder / PROMOTIONS_FILE
        self._loader = loader
        self._thread = ThreadPoolExecutor(1, "model")
        self._work: Future[_Found] | None = None
        self._look_at = 0.0
        self._seen: FileStat | Literal["never"] | None = "never"

    def step(self, now: float) -> Predictor | None:
        """Look, if it is time; never waits.

        Args:
            now: monotonic seconds.

        Returns:
            The colorist that serves from now on, or None where the one that does goes on.
        """
        if self._work is not None:
            return self._taken_up() if self._work.done() else None
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        looks = file_stat(self._promotions)
        if looks != self._seen:
            # What was refused at the start was tried just now.
            known = {self.serving.model, self.serving.refused if self._seen == "never" else None}
            self._seen = looks
            self._work = self._thread.submit(self._find, known)
        return None

    def end(self, deadline: float) -> bool:
        """Stop looking, and wait for a version that is being loaded.

        Args:
            deadline: monotonic seconds; how long to wait at most.

        Returns:
            Whether the thread is done.
        """
        self._thread.shutdown(wait=False)
        if self._work is None or self._work.cancel():  # it had not begun
            return True
        return not wait([self._work], max(0.0, deadline - time.monotonic())).not_done

    def _find(self, known: set[str | None]) -> _Found:
        version = None
        try:
            version = self._loader.promoted()
            return _Found(version, None if version in known else self._loader.load(version))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one serves on
            return _Found(version, error=error)

    def _taken_up(self) -> Predictor | None:
        assert self._work is not None  # noqa: S101 - `step` asks only then
        version, colorist, error = self._work.result()
        self._work = None
        if error is not None:
            expected = isinstance(error, PhotochromError | OSError)
            reason = str(error) if expected else repr(error)
            self.serving = ActiveModel(self.serving.model, version, reason)
            log.error(
                "model.refused",
                version=version,
                serving=self.serving.model,
                reason=reason,
                exc_info=None if expected else error,
            )
        elif colorist is not None:
            log.info("model.taken_up", **{"from": self.serving.model}, to=colorist.model)
            self.serving = ActiveModel(colorist.model)
        elif version == self.serving.model:  # gone back to what serves anyway
            self.serving = ActiveModel(version)
        return colorist
