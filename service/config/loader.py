"""config.yaml -> Config, or every mistake in it at once, each with its file, line and key.

Refuses unknown keys, keys given twice, wrong values, and folders that would feed each other.
"""

from pathlib import Path
from typing import Self

from service.config.credential_files import check_credentials, half_set
from service.config.sections import (
    Batching,
    Bookkeeping,
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
    Section,
    Stop,
    Training,
    Watch,
)
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


class ConfigError(PhotochromError):
    """The configuration is wrong; `problems` holds every mistake as `file:line: key: text`."""

    def __init__(self, problems: list[str]) -> None:
        """Hold the mistakes, in the order of their lines."""
        super().__init__("\n".join(problems))
        self.problems = problems


class Config(Section):
    """Everything config.yaml says; folders are absolute once it is loaded."""

    inbox: Folder = Path("inbox")
    outbox: Folder = Path("outbox")
    originals: Originals = Originals()
    rejected: Folder = Path("rejected")
    state: Folder = Path("state")
    permissions: Permissions = Permissions()
    watch: Watch = Watch()
    batch: Batching = Batching()
    model: Model = Model()
    output: Output = Output()
    mark: Mark = Mark()
    credentials: Credentials = Credentials()
    limits: Limits = Limits()
    retry: Retry = Retry()
    ledger: Bookkeeping = Bookkeeping()
    stop: Stop = Stop()
    log: Log = Log()
    metrics: Metrics = Metrics()
    training: Training = Training()

    def beside(self, folder: Path) -> Self:
        """Take relative folders to be in the given one."""
        base = folder.absolute()
        moved = {
            name: base / getattr(self, name) for name in ("inbox", "outbox", "rejected", "state")
        }
        originals = self.originals.model_copy(update={"folder": base / self.originals.folder})
        training = self.training
        collections = [base / folder for folder in training.collections]
        training = training.model_copy(update={"collections": collections})
        if training.reference:
            training = training.model_copy(update={"reference": base / training.reference})
        files = {name: getattr(self.credentials, name) for name in ("certificate", "key")}
        credentials = self.credentials.model_copy(
            update={name: path and base / path for name, path in files.items()}
        )
        textfile = self.metrics.textfile
        metrics = self.metrics.model_copy(update={"textfile": textfile and base / textfile})
        sections = {"originals": originals, "training": training, "credentials": credentials}
        sections["metrics"] = metrics
        return self.model_copy(update={**moved, **sections})

    @property
    def folders(self) -> dict[str, Path]:
        """The folders in use, by their key; the originals' only where originals are moved."""
        used = {
            "inbox": self.inbox,
            "outbox": self.outbox,
            "originals.folder": self.originals.folder,
        }
        if self.originals.after == "keep":
            del used["originals.folder"]
        return {**used, "rejected": self.rejected, "state": self.state}

    @property
    def models_folder(self) -> Path:
        """Where trained versions of the generator are kept."""
        return self.state / "models"

    @property
    def read_settings(self) -> ReadSettings:
        """What a scan may be."""
        return ReadSettings(megapixels=self.limits.megapixels)

    @property
    def color_settings(self) -> ColorSettings:
        """How the generator is run."""
        return ColorSettings(
            render_size=self.model.render_size,
            batch_size=None if self.batch.size == "auto" else self.batch.size,
        )

    @property
    def write_settings(self) -> WriteSettings:
        """How a colored photo is encoded."""
        return WriteSettings(
            format=self.output.format,
            label=self.output.label,
            credit=self.output.credit,
            space=self.output.profile,
            mark=MarkSettings(**self.mark.model_dump()),
        )

    @property
    def credential_settings(self) -> CredentialSettings | None:
        """Who signs the photos, or None where they are not signed."""
        given = self.credentials
        if given.certificate is None or given.key is None:
            return None
        return CredentialSettings(
            given.certificate, given.key, given.algorithm, timestamp=given.timestamp
        )

    @property
    def train_settings(self) -> TrainSettings:
        """The recipe of one training."""
        return TrainSettings(**self.training.model_dump(exclude=_ABOUT_PHOTOGRAPHS))


# Of `training`: which photographs and how long, where the rest is the recipe.
_ABOUT_PHOTOGRAPHS = {"reference", "collections", "minutes"}


def load_config(path: Path) -> Config:
    """Read a configuration; what it leaves out is as in the project's own config.yaml.

    Args:
        path: the file; relative folders in it are relative to the file's folder.

    Raises:
        ConfigError: the file cannot be read or has mistakes.
    """
    config, problems, _ = _read(path)
    _raise_any(path, problems)
    return config


def check_config(path: Path, *, for_training: bool = False, for_run: bool = False) -> Config:
    """Read a configuration and try its folders too (see `check_folders`).

    Args:
        path: the file.
        for_training: also try what only a training needs: it must not keep the daemon from work.
        for_run: let off the folders that were used before, which the daemon waits for, and the
            state folder, without which nobody knows them.

    Raises:
        DeviceError: it is not known which folders were used before.
        ConfigError: mistakes in the file, or folders that cannot do; all of them at once.
    """
    config, problems, keys = _read(path)
    wrong = {problem.key for problem in problems}
    if "" not in wrong:  # else nothing is known of the folders
        right = {key: folder for key, folder in config.folders.items() if key not in wrong}
        let_off = {*noted(config.state), config.state} if for_run else set()
        for key, text in check_folders(right, let_off):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in check_credentials(config.credentials):
            problems.append(Problem(line_of(key, keys), key, text))
        for key, text in missing_photographs(config) if for_training else []:
            problems.append(Problem(line_of(key, keys), key, text))
    _raise_any(path, problems)
    return config


def missing_photographs(config: Config) -> list[tuple[str, str]]:
    """List the folders of photographs for training that are none: the key, and plain words."""
    training = config.training
    folders = [("training.collections", folder) for folder in training.collections]
    if training.reference:
        folders.append(("training.reference", training.reference))
    return [(key, f"is not a folder ({folder})") for key, folder in folders if not folder.is_dir()]


def _raise_any(path: Path, problems: list[Problem]) -> None:
    if problems:
        raise ConfigError([problem.in_words(str(path)) for problem in sorted(set(problems))])


def _read(path: Path) -> tuple[Config, list[Problem], dict[str, Key]]:
    """Return the config, with defaults in place of what is wrong, the mistakes, and the keys."""
    try:
        config, problems, keys = parse(path.read_bytes(), Config)
    except OSError as error:
        config, keys = Config(), {}
        problems = [Problem(0, "", f"cannot be read: {error.strerror}")]
    wrong = {problem.key for problem in problems}
    if not wrong & {"credentials.certificate", "credentials.key"}:
        half = half_set(config.credentials)
        problems += [Problem(line_of(key, keys), key, text) for key, text in half]
    return config.beside(path.absolute().parent), problems, keys
