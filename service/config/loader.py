"""config.yaml -> Config, or every mistake in it at once, each with its file, line and key.

Refuses unknown keys, duplicate keys, wrong values, and folders inside each other.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import structlog

from service.config.cluster_access import check_cluster, open_cluster
from service.config.credential_files import check_credentials, half_set
from service.config.engine_section import Engine
from service.config.sections import (
    Batching,
    Bookkeeping,
    Color,
    Credentials,
    Folder,
    Limits,
    Log,
    Mark,
    Metrics,
    Model,
    Originals,
    Output,
    Permissions,
    Retry,
    Review,
    Section,
    Stop,
    Training,
    Watch,
    Web,
)
from service.config.web_access import check_web, open_to_all
from service.config.yaml_text import Key, Problem, line_of, parse
from service.filesystem.availability import noted
from service.filesystem.folder_checks import check_folders
from worker.errors import PhotochromError
from worker.metadata.credentials import CredentialSettings
from worker.settings import (
    ColorSettings,
    MarkSettings,
    ReadSettings,
    TrainSettings,
    WriteSettings,
)

RENAMED = {  # keys of earlier releases, still accepted with a warning, and their present names
    "watch.arriving": "watch.incomplete_timeout",
}
_PHOTOGRAPHS = {"reference", "scans", "collections", "minutes"}  # not the recipe

log = structlog.get_logger()


class ConfigError(PhotochromError):
    """The configuration is wrong; `problems` holds every mistake as `file:line: key: text`."""

    def __init__(self, problems: list[str]) -> None:
        """Hold the mistakes, in the order of their lines."""
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(Section):
    """All settings; folders are absolute once it is loaded."""

    inbox: Folder = Path("inbox")
    outbox: Folder = Path("outbox")
    originals: Originals = Originals()
    rejected: Folder = Path("rejected")
    state: Folder = Path("state")
    permissions: Permissions = Permissions()
    watch: Watch = Watch()
    batch: Batching = Batching()
    engine: Engine = Engine()
    model: Model = Model()
    output: Output = Output()
    review: Review = Review()
    color: Color = Color()
    mark: Mark = Mark()
    credentials: Credentials = Credentials()
    limits: Limits = Limits()
    retry: Retry = Retry()
    ledger: Bookkeeping = Bookkeeping()
    stop: Stop = Stop()
    log: Log = Log()
    metrics: Metrics = Metrics()
    web: Web = Web()
    training: Training = Training()

    def beside(self, folder: Path) -> Self:
        """Resolve relative paths against the given folder."""
        base = folder.absolute()
        moved = {
            name: base / getattr(self, name) for name in ("inbox", "outbox", "rejected", "state")
        }
        originals = self.originals.model_copy(update={"folder": base / self.originals.folder})
        review = self.review.model_copy(update={"folder": base / self.review.folder})
        training = self.training
        collections = [base / folder for folder in training.collections]
        training = training.model_copy(update={"collections": collections})
        folders = {name: getattr(training, name) for name in ("reference", "scans")}
        training = training.model_copy(
            update={name: folder and base / folder for name, folder in folders.items()}
        )
        files = {name: getattr(self.credentials, name) for name in ("certificate", "key")}
        credentials = self.credentials.model_copy(
            update={name: path and base / path for name, path in files.items()}
        )
        textfile = self.metrics.textfile
        metrics = self.metrics.model_copy(update={"textfile": textfile and base / textfile})
        sections = {"originals": originals, "training": training, "credentials": credentials}
        users = self.web.users
        web = self.web.model_copy(update={"users": users and base / users})
        token = self.engine.token
        engine = self.engine.model_copy(update={"token": token and base / token})
        sections |= {"metrics": metrics, "review": review, "web": web, "engine": engine}
        return self.model_copy(update={**moved, **sections})

    @property
    def folders(self) -> dict[str, Path]:
        """The folders in use by key; without those for originals and held results if unused."""
        used = {
            "inbox": self.inbox,
            "outbox": self.outbox,
            "originals.folder": self.originals.folder,
        }
        if self.originals.after == "keep":
            del used["originals.folder"]
        if self.review.may_hold:
            used["review.folder"] = self.review.folder
        return {**used, "rejected": self.rejected, "state": self.state}

    @property
    def models_folder(self) -> Path:
        """The folder of trained model versions."""
        return self.state / "models"

    @property
    def read_settings(self) -> ReadSettings:
        """Limits on a scan."""
        return ReadSettings(megapixels=self.limits.megapixels)

    @property
    def color_settings(self) -> ColorSettings:
        """How the generator is run."""
        return ColorSettings(
            render_size=self.model.render_size,
            batch_size=None if self.batch.size == "auto" else self.batch.size,
            precision=self.model.precision,
        )

    @property
    def write_settings(self) -> WriteSettings:
        """How a result is encoded and labeled."""
        return WriteSettings(
            format=self.output.format,
            label=self.output.label,
            credit=self.output.credit,
            space=self.output.profile,
            mark=MarkSettings(**self.mark.model_dump()),
        )

    @property
    def credential_settings(self) -> CredentialSettings | None:
        """How results are signed; None if they are not."""
        given = self.credentials
        if given.certificate is None or given.key is None:
            return None
        return CredentialSettings(
            given.certificate, given.key, given.algorithm, timestamp=given.timestamp
        )

    @property
    def train_settings(self) -> TrainSettings:
        """The training recipe."""
        return TrainSettings(**self.training.model_dump(exclude=_PHOTOGRAPHS))


Warn = Callable[[str], None]


def _log_warning(text: str) -> None:
    log.warning("config.warning", reason=text)


def load_config(path: Path, warn: Warn = _log_warning) -> Config:
    """Read a configuration; missing settings have their defaults.

    Args:
        path: the file; relative paths in it are relative to the file's folder.
        warn: called with each warning, as `file:line: key: text`.

    Raises:
        ConfigError: the file cannot be read or has mistakes.
    """
    config, problems, keys = _read(path)
    _warn_of_old_keys(path, keys, warn)
    _raise_any(path, problems)
    return config


def check_config(
    path: Path, warn: Warn = _log_warning, *, for_training: bool = False, for_run: bool = False
) -> Config:
    """Read a configuration and check its folders too (see `check_folders`).

    Args:
        path: the file.
        warn: as for `load_config`.
        for_training: also check the folders of photographs for training. The daemon does not need
            them and must start without.
        for_run: skip the state folder and folders that were used before: the daemon waits for them.

    Raises:
        DeviceError: the list of folders that were used before cannot be read.
        ConfigError: mistakes in the file, or unusable folders; all of them at once.
    """
    config, problems, keys = _read(path)
    _warn_of_old_keys(path, keys, warn)
    wrong = {problem.key for problem in problems}
    if "" not in wrong:  # else the folders are unknown
        right = {key: folder for key, folder in config.folders.items() if key not in wrong}
        let_off = {*noted(config.state), config.state} if for_run else set()
        for key, text in check_folders(right, let_off):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in check_credentials(config.credentials):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in check_cluster(config.engine):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in [] if for_run else check_web(config.web):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in missing_photographs(config) if for_training else []:
            problems.append(Problem(line_of(key, keys), key, text))
    _raise_any(path, problems)
    return config


def load_for_web(path: Path, warn: Warn = _log_warning) -> Config:
    """Read a configuration and check what the review page needs; it may not write all folders.

    Raises:
        ConfigError: mistakes in the file, or in the section `web`; all of them at once.
    """
    config, problems, keys = _read(path)
    _warn_of_old_keys(path, keys, warn)
    for key, text in check_web(config.web):
        problems.append(Problem(line_of(key, keys), key, text))
    _raise_any(path, problems)
    return config


def missing_photographs(config: Config) -> list[tuple[str, str]]:
    """List the keys of training folders that do not exist, each with a message."""
    training = config.training
    folders = [("training.collections", folder) for folder in training.collections]
    named = {name: getattr(training, name) for name in ("reference", "scans")}
    folders += [(f"training.{name}", folder) for name, folder in named.items() if folder]
    return [(key, f"is not a folder ({folder})") for key, folder in folders if not folder.is_dir()]


def _warn_of_old_keys(path: Path, keys: Mapping[str, Key], warn: Warn) -> None:
    for old, new in RENAMED.items():
        if old in keys:
            warn(Problem(keys[old].line, old, f"is now called {new}").in_words(str(path)))


def _raise_any(path: Path, problems: list[Problem]) -> None:
    if problems:
        raise ConfigError([problem.in_words(str(path)) for problem in sorted(set(problems))])


def _read(path: Path) -> tuple[Config, list[Problem], dict[str, Key]]:
    """Return the config, with defaults in place of wrong values, the mistakes, and the keys."""
    try:
        config, problems, keys = parse(path.read_bytes(), Config, renamed=RENAMED)
    except OSError as error:
        config, keys = Config(), {}
        problems = [Problem(0, "", f"cannot be read: {error.strerror}")]
    wrong = {problem.key for problem in problems}
    if not wrong & {"credentials.certificate", "credentials.key"}:
        half = half_set(config.credentials)
        problems += [Problem(line_of(key, keys), key, text) for key, text in half]
    if not any(key.startswith("web.") for key in wrong):
        unsafe = open_to_all(config.web)
        problems += [Problem(line_of(key, keys), key, text) for key, text in unsafe]
    if not any(key.startswith("engine") for key in wrong):
        open_one = open_cluster(config.engine)
        problems += [Problem(line_of(key, keys), key, text) for key, text in open_one]
    return config.beside(path.absolute().parent), problems, keys
