"""Load the generator that colors: the configured one, or the best that works in its place."""

import structlog

from service.config.loader import Config
from service.ledger.ledger import ActiveModel
from worker.errors import ModelError
from worker.inference import canary
from worker.inference.colorizer import Colorizer
from worker.inference.device import set_up_device
from worker.metadata.credentials import try_to_sign
from worker.models.promotions import BUILT_IN, active_versions
from worker.models.store import ModelStore
from worker.models.version import VersionName, version_name

log = structlog.get_logger()


class ModelLoader:
    """Loads versions for this machine, as the configuration has them run.

    Args:
        config: the model store, render and batch size, and who signs.
    """

    def __init__(self, config: Config) -> None:
        """Set up the device; nothing is loaded yet."""
        self._config = config
        self._store = ModelStore(config.models_folder)
        self._device = set_up_device()

    def start(self) -> tuple[Colorizer, ActiveModel]:
        """Load what colors first.

        A promoted version that is not fit to serve is skipped for the one before it, down to the
        built-in one: a restart must not stop what worked before.

        Returns:
            the colorizer, and what was refused.

        Raises:
            ModelError: the version that the configuration fixes cannot be loaded, or none can, or
                the history of promotions is damaged.
            DeviceError: the device cannot hold it, or what it makes cannot be signed as is set.
        """
        if self._config.credential_settings:
            try_to_sign(self._config.credential_settings)
        wanted: VersionName = self._config.model.version
        if wanted != "promoted":
            colorizer = self._colorizer(wanted)
            return colorizer, ActiveModel(colorizer.model)
        refused = because = None
        for name in reversed(active_versions(self._store.promotions())):
            try:
                colorizer = self.load(name)
            except ModelError as error:
                if name == BUILT_IN:
                    raise
                refused, because = refused or name, because or str(error)
            else:
                return colorizer, ActiveModel(colorizer.model, refused, because)
        raise AssertionError  # the built-in one always stands first

    def tell(self, colorizer: Colorizer, serving: ActiveModel) -> None:
        """Log what `start` returned; not while TensorFlow's own output is suppressed."""
        if serving.refused:
            log.error(
                "model.refused",
                version=serving.refused,
                serving=serving.model,
                reason=serving.refused_because,
            )
        if not self._config.output.label:
            log.warning("label.off", key="output.label")
        log.info(
            "model.loaded",
            version=colorizer.model,
            device=self._device.name,
            batch_size=colorizer.batch_size,
        )

    def promoted(self) -> str:
        """Name the version that is promoted.

        Raises:
            ModelError: the history of promotions is damaged.
        """
        return active_versions(self._store.promotions())[-1]

    def load(self, name: str) -> Colorizer:
        """Load a version and try it with the canary.

        Raises:
            ModelError: it is not there, altered, or not fit to serve.
            DeviceError: the device cannot hold it.
        """
        colorizer = self._colorizer(version_name(name))
        canary.check(colorizer)
        return colorizer

    def _colorizer(self, name: VersionName) -> Colorizer:
        version = self._store.get(name)
        return Colorizer(version, self._config.color_settings, self._device)
