"""config.yaml -> Config, or every mistake in it at once, each with its file, line and key.

Refuses unknown keys, keys given twice, wrong values, and folders that would feed each other.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import ValidationError

from service.credential_files import check_credentials, half_set
from service.folders import check_folders
from service.places import noted
from service.sections import (
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
from worker.credentials import CredentialSettings
from worker.errors import PhotochromError
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

_SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


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
            problems.append(_Problem(_line(key, keys), key, text))
        for key, text in check_credentials(config.credentials):
            problems.append(_Problem(_line(key, keys), key, text))
        for key, text in missing_photographs(config) if for_training else []:
            problems.append(_Problem(_line(key, keys), key, text))
    _raise_any(path, problems)
    return config


def missing_photographs(config: Config) -> list[tuple[str, str]]:
    """List the folders of photographs for training that are none: the key, and plain words."""
    training = config.training
    folders = [("training.collections", folder) for folder in training.collections]
    if training.reference:
        folders.append(("training.reference", training.reference))
    return [(key, f"is not a folder ({folder})") for key, folder in folders if not folder.is_dir()]


class _Problem(NamedTuple):
    line: int  # 0 when it has none
    key: str
    text: str


@dataclass(frozen=True)
class _Key:
    line: int
    value: str  # as it stands in the file, for messages


def _raise_any(path: Path, problems: list[_Problem]) -> None:
    if problems:
        raise ConfigError(
            [
                ": ".join(filter(None, (f"{path}:{line}" if line else f"{path}", key, text)))
                for line, key, text in sorted(set(problems))
            ]
        )


def _read(path: Path) -> tuple[Config, list[_Problem], dict[str, _Key]]:
    """Return the config, with defaults in place of what is wrong, the mistakes, and the keys."""
    problems: list[_Problem] = []
    keys: dict[str, _Key] = {}
    data: Any = None
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        root = loader.get_single_node()
        if root is not None:
            problems += _note_keys(root, "", keys)
            data = loader.construct_document(root)
    except OSError as error:
        problems.append(_Problem(0, "", f"cannot be read: {error.strerror}"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(_Problem(mark.line + 1 if mark else 0, "", f"is not YAML: {error.problem}"))
    except yaml.YAMLError as error:
        problems.append(_Problem(0, "", f"is not YAML: {' '.join(str(error).split())}"))
    if data is not None and not isinstance(data, dict):
        problems.append(_Problem(1, "", "must be lines of `key: value`"))
        data = None
    config, wrong = _validated(data or {}, keys)
    if not {problem.key for problem in wrong} & {"credentials.certificate", "credentials.key"}:
        half = half_set(config.credentials)
        wrong += [_Problem(_line(key, keys), key, text) for key, text in half]
    return config.beside(path.absolute().parent), problems + wrong, keys


def _note_keys(node: yaml.Node, above: str, keys: dict[str, _Key]) -> Iterator[_Problem]:
    """Note where each key of a section stands; yield those that stand there twice."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value in node.value:
        key = f"{above}{key_node.value}"
        line = key_node.start_mark.line + 1
        if key in keys:
            yield _Problem(line, key, f"is given twice, first in line {keys[key].line}")
        text = value.value if isinstance(value, yaml.ScalarNode) else "a list or section"
        keys[key] = _Key(line, text)
        if not above:  # sections have no sections
            yield from _note_keys(value, f"{key}.", keys)


def _validated(data: Mapping[Any, Any], keys: Mapping[str, _Key]) -> tuple[Config, list[_Problem]]:
    """Return the config that the right values make, and what is wrong with the others."""
    # A section whose knobs are all commented out is empty, and that is no mistake.
    left = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None or key not in _SECTIONS
    }
    try:
        return Config.model_validate(left), []
    except ValidationError as error:
        details = error.errors()
    problems = []
    for detail in details:
        name, *inner = detail["loc"]
        section = left.get(name)
        if inner and isinstance(section, dict):
            section.pop(inner[0], None)
            key = f"{name}.{inner[0]}"
        else:
            left.pop(name, None)
            key = str(name)
        problems.append(_Problem(_line(key, keys), key, _explained(key, keys)))
    return Config.model_validate(left), problems


def _explained(key: str, keys: Mapping[str, _Key]) -> str:
    above, _, name = key.rpartition(".")
    fields = (_SECTIONS[above] if above else Config).model_fields
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        return f"is not a key; did you mean {near[0]}?" if near else "is not a key"
    known = f"a section with {', '.join(_SECTIONS[name].model_fields)}" if key in _SECTIONS else ""
    value = keys[key].value if key in keys else ""
    given = f"'{value}'" if value else "empty"
    return f"must be {known or fields[name].description}, not {given}"


def _line(key: str, keys: Mapping[str, _Key]) -> int:
    """Return the line of a key; where it is not in the file, that of its section, or 0."""
    found = keys.get(key) or keys.get(key.partition(".")[0])
    return found.line if found else 0
