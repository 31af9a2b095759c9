"""Completes a training request with what the configuration says."""

from dataclasses import replace

from service.config.loader import Config, ConfigError, missing_photographs
from worker.training.request import TrainingRequest


def configured(request: TrainingRequest, config: Config) -> TrainingRequest:
    """Add the recipe, the scans and, unless it names one, the reference set; make paths absolute.

    Raises:
        ConfigError: `training.reference` or `training.scans` is used and is not a folder.
    """
    reference, scans = request.reference or config.training.reference, config.training.scans
    missing = dict(missing_photographs(config))
    for key in ("training.scans", *([] if request.reference else ["training.reference"])):
        if key in missing:
            raise ConfigError([f"{key}: {missing[key]}"])
    return replace(
        request,
        folders=tuple(folder.absolute() for folder in request.folders),
        recipe=config.train_settings,
        read=config.read_settings,
        reference=reference.absolute() if reference else None,
        scans=scans.absolute() if scans else None,
    )
