"""Rereads config.yaml while the daemon runs: what to continue with, or everything wrong with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from service.config.loader import Config, ConfigError, check_config
from service.daemon.model_updates import ModelWatch, VersionLoader
from service.filesystem import permissions
from service.filesystem.availability import make_new_folders
from service.filesystem.ownership import refuse_another_owner
from service.ledger.ledger import ActiveModel
from service.log import set_up_logging
from worker.errors import PhotochromError
from worker.inference.predictor import Predictor

log = structlog.get_logger()


class StartingLoader(VersionLoader, Protocol):
    """What the reload needs of `service.daemon.model_loading.ModelLoader`."""

    def start(self) -> tuple[Predictor, ActiveModel]:
        """Load the first model; raises a PhotochromError if none can be loaded."""

    def tell(self, predictor: Predictor, serving: ActiveModel) -> None:
        """Log what `start` returned."""


class Parts(NamedTuple):
    """What a daemon works with until the next reload.

    Attributes:
        config: the configuration.
        predictor: the loaded model.
        models: brings promoted versions; None keeps the predictor.
        active: the predictor's version, and the one that was refused in its favor.
    """

    config: Config
    predictor: Predictor
    models: ModelWatch | None
    active: ActiveModel


class Reloader:
    """Rereads a configuration file.

    Args:
        path: the file.
        loader: the one that loaded the current model.
        make_loader: makes one for another configuration.

    Attributes:
        refused: what was wrong with the file when last read; "" if it was taken up.
    """

    def __init__(
        self, path: Path, loader: StartingLoader, make_loader: Callable[[Config], StartingLoader]
    ) -> None:
        """Read nothing yet."""
        self.refused = ""
        self._path = path
        self._loader = loader
        self._make_loader = make_loader

    def read(self, now: Parts) -> Parts | None:
        """Read the file, and load another model if the settings of the model have changed.

        Args:
            now: what the daemon works with.

        Returns:
            What it is to work with; None if anything is wrong: that is logged, and nothing changes.
        """
        problems: list[str] = []
        unforeseen = parts = None
        try:
            parts = self._read(now)
        except ConfigError as error:
            problems = error.problems
        except (PhotochromError, OSError) as error:
            problems = [str(error)]
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration stays
            problems, unforeseen = [repr(error)], error
        self.refused = "\n".join(problems)
        if problems:
            log.error("config.refused", file=self._path, problems=problems, exc_info=unforeseen)
        return parts

    def take_up(self, old: Config, new: Config) -> None:
        """Log what has changed, now that the daemon works with it."""
        if new.log != old.log:
            set_up_logging(new.log.level, new.log.format)
        log.info("config.reloaded", file=self._path, changed=changed_keys(old, new))

    def _read(self, now: Parts) -> Parts:
        config = check_config(self._path, for_run=True)
        if config.state != now.config.state:
            text = f"cannot change while photochrom runs ({now.config.state}); restart it"
            raise ConfigError([f"{self._path}: state: {text}"])
        permissions.adopt(config.permissions)
        make_new_folders(config.folders)
        refuse_another_owner(config.folders)
        predictor, active = now.predictor, now.active
        # With credentials, loading also tries to sign: the certificate may have been replaced.
        if _made_from(config) != _made_from(now.config) or config.credential_settings:
            loader = self._make_loader(config)
            predictor, active = loader.start()
            loader.tell(predictor, active)
            self._loader = loader
        return Parts(config, predictor, watch_models(config, self._loader, active), active)


def watch_models(config: Config, loader: VersionLoader, active: ActiveModel) -> ModelWatch | None:
    """Return what brings promoted versions, if the configuration asks for them."""
    if config.model.version != "promoted":
        return None
    return ModelWatch(config.models_folder, loader, active)


def changed_keys(old: Config, new: Config) -> list[str]:
    """List the keys whose values differ, as `section.key`."""
    before = dict(_flat(old))
    return [key for key, value in _flat(new) if before[key] != value]


def _flat(config: Config) -> Iterator[tuple[str, Any]]:
    for name, value in config.model_dump().items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _made_from(config: Config) -> tuple[object, ...]:
    return (
        config.model.version,
        config.color_settings,
        config.credential_settings,
    )
