"""Completes a training request with what the configuration says."""

from dataclasses import replace

from service.config.loader import Config, ConfigError, missing_photographs
from worker.training.request import TrainingRequest


def configured(request: TrainingRequest, config: Config) -> TrainingRequest:
    """Add the recipe and, unless the request names one, the reference set; make paths absolute.

    Raises:
        ConfigError: `training.reference` is used and is not a folder.
    """
    reference = request.reference or config.training.reference
    problem = dict(missing_photographs(config)).get("training.reference")
    if problem and not request.reference:
        raise ConfigError([f"training.reference: {problem}"])
    return replace(
        request,
        folders=tuple(folder.absolute() for folder in request.folders),
        recipe=config.train_settings,
        read=config.read_settings,
        reference=reference.absolute() if reference else None,
    )
