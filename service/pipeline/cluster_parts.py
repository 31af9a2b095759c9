"""What the workers of a cluster get of the service: files opened as the daemon does, a generator.

Their words are the configuration and the daemon's name, as JSON.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from service.config.loader import Config
from service.filesystem import permissions
from service.filesystem.availability import FolderMonitor
from service.filesystem.node_folders import NodeFolders
from service.filesystem.ownership import Owner
from service.filesystem.safe_open import digest_of, file_stat
from service.pipeline.reading import task_files
from worker.cluster.node_worker import Parts
from worker.errors import ScanError, SourceChanged
from worker.inference.engine import Task
from worker.inference.predictor import Predictor
from worker.inference.task_files import OpenedSource, TaskFiles
from worker.metadata.credentials import CredentialSettings
from worker.models.version import ModelVersion


def words_of(config: Config, owner: Owner) -> str:
    """Return what `PARTS` work from: the folders, and whose they are."""
    return json.dumps({"config": config.model_dump_json(), "owner": owner})


def node_files(words: str) -> TaskFiles:
    """Open files on a machine that shares the folders with the daemon's."""
    config = _config_of(words)
    permissions.adopt(config.permissions)
    owner = Owner(*json.loads(words)["owner"])
    files = task_files(config, NodeFolders(config.folders, owner))

    def open_source(task: Task) -> AbstractContextManager[OpenedSource]:
        return _open_by_content(task, config, files.open_source)

    return replace(files, open_source=open_source)


def daemon_files(words: str) -> TaskFiles:
    """Open files on the daemon's own machine."""
    config = _config_of(words)
    permissions.adopt(config.permissions)
    owner = Owner(*json.loads(words)["owner"])
    return task_files(config, FolderMonitor(config.folders, config.limits.free_space, owner))


def load(words: str, version: ModelVersion) -> Predictor:
    """Load a generator, and try it with the canary.

    Raises:
        ModelError: it is not fit to serve.
        DeviceError: the device cannot hold it.
    """
    from worker.inference.lean_imports import import_tensorflow

    import_tensorflow()  # before what imports it too
    from worker.inference import canary
    from worker.inference.colorizer import Colorizer
    from worker.inference.device import set_up_device

    colorizer = Colorizer(version, _config_of(words).color_settings, set_up_device())
    canary.check(colorizer)
    return colorizer


def signer(words: str) -> CredentialSettings | None:
    """Return who signs results; certificate and key must be on each machine."""
    return _config_of(words).credential_settings


PARTS = Parts(node_files, daemon_files, load, signer)


def _config_of(words: str) -> Config:
    return Config.model_validate_json(json.loads(words)["config"])


@contextmanager
def _open_by_content(
    task: Task,
    config: Config,
    open_source: Callable[[Task], AbstractContextManager[OpenedSource]],
) -> Iterator[OpenedSource]:
    """Open a scan that is the one that was queued if its SHA-256 is.

    Inodes and times may look otherwise on another machine. A scan that is missing or refused here
    counts as changed: then the daemon looks for itself.
    """
    source = task.source
    looks = None if source.recolor else file_stat(Path(config.inbox) / source.path)
    if looks is not None:
        here = replace(
            source, size=looks.size, mtime_ns=looks.mtime_ns, inode=looks.inode, device=looks.device
        )
        task = replace(task, source=here)
    with ExitStack() as stack:
        try:
            opened = stack.enter_context(open_source(task))
        except ScanError as error:
            raise SourceChanged from error
        if opened.file is None or digest_of(opened.file) != source.sha256:
            raise SourceChanged
        yield opened
