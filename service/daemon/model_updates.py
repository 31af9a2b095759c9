"""Notice that another version was promoted, load it beside the one that colors, and hand it over.

A look is one `stat` every two seconds. Reading the history, loading and the canary happen in a
thread, so work continues meanwhile. A version that cannot serve is refused once, with a log line;
nothing is tried again before the history changes.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import structlog

from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import file_stat
from service.ledger.ledger import ActiveModel
from worker.errors import PhotochromError
from worker.inference.predictor import Predictor
from worker.models.promotions import PROMOTIONS_FILE

LOOK_EVERY = 2.0  # seconds

log = structlog.get_logger()


class VersionLoader(Protocol):
    """Loads versions; see `service.daemon.model_loading.ModelLoader`."""

    def promoted(self) -> str:
        """Name the version that is promoted."""

    def load(self, name: str) -> Predictor:
        """Load a version and try it; raises ModelError when it is not fit to serve."""


class _Found(NamedTuple):
    """What a look at the history led to; `version` is None if it could not be read."""

    version: str | None
    predictor: Predictor | None = None
    error: Exception | None = None


class ModelWatch:
    """Loads the promoted version when another one is promoted.

    Args:
        folder: of the model store, whose history of promotions is watched; may be missing.
        loader: loads it.
        serving: what serves now, and which promoted version was refused at the start.

    Attributes:
        serving: what serves, kept up to date.
    """

    def __init__(self, folder: Path, loader: VersionLoader, serving: ActiveModel) -> None:
        """Start without a look."""
        self.serving = serving
        self._promotions = folder / PROMOTIONS_FILE
        self._loader = loader
        self._thread = ThreadPoolExecutor(1, "model")
        self._work: Future[_Found] | None = None
        self._look_at = 0.0
        self._seen: FileStat | Literal["never"] | None = "never"

    def step(self, now: float) -> Predictor | None:
        """Look, if it is time; never blocks.

        Args:
            now: monotonic seconds.

        Returns:
            The predictor that serves from now on, or None to keep the present one.
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
        version, predictor, error = self._work.result()
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
        elif predictor is not None:
            log.info("model.taken_up", **{"from": self.serving.model}, to=predictor.model)
            self.serving = ActiveModel(predictor.model)
        elif version == self.serving.model:  # gone back to what serves anyway
            self.serving = ActiveModel(version)
        return predictor
