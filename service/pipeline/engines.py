"""The engine that colors for a configuration."""

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.pipeline.reading import task_files
from worker.inference.local_engine import LocalEngine
from worker.inference.predictor import Predictor


def local_engine(config: Config, predictor: Predictor, places: FolderMonitor) -> LocalEngine:
    """Start an engine in this process.

    Args:
        config: the folders, how long a batch waits, and who signs.
        predictor: the loaded generator.
        places: tells whether the folders are there.
    """
    files, wait = task_files(config, places), config.batch.longest_wait
    return LocalEngine(predictor, files, wait, config.credential_settings)
