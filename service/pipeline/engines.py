"""The engine that colors for a configuration."""

import sys

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.pipeline.cluster_parts import words_of
from service.pipeline.reading import task_files
from worker.cluster.cluster_engine import ClusterEngine
from worker.cluster.messages import ClusterSettings
from worker.inference.engine import Engine
from worker.inference.local_engine import LocalEngine
from worker.inference.predictor import Predictor

BRIDGE = (sys.executable, "-m", "service.pipeline.cluster_bridge")


def make_engine(config: Config, predictor: Predictor, places: FolderMonitor) -> Engine:
    """Start the engine that the configuration names.

    Args:
        config: the folders, how long a batch waits, who signs, and the cluster.
        predictor: the loaded generator.
        places: tells whether the folders are there.
    """
    if config.engine.kind == "ray":
        files = task_files(config, places)
        settings = cluster_settings(config, words_of(config, places.owner))
        return ClusterEngine(predictor, files, settings, BRIDGE)
    return local_engine(config, predictor, places)


def local_engine(config: Config, predictor: Predictor, places: FolderMonitor) -> LocalEngine:
    """Start an engine in this process; arguments as for `make_engine`."""
    files, wait = task_files(config, places), config.batch.longest_wait
    return LocalEngine(predictor, files, wait, config.credential_settings)


def cluster_settings(config: Config, words: str) -> ClusterSettings:
    """Return how an engine uses the cluster of a configuration; `words`: of its parts."""
    engine = config.engine
    return ClusterSettings(
        address=engine.address,
        token="" if engine.token is None else str(engine.token),
        shared=engine.shared,
        workers=0 if engine.workers == "auto" else engine.workers,
        cpus=engine.cpus,
        gpu=engine.gpu,
        patience=engine.patience,
        first_wait=config.retry.first_wait,
        longest_wait=config.retry.longest_wait,
        parts=words,
    )
