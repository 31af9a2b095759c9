"""What the commands share: options, exit codes, JSON output, and loading TensorFlow quietly."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

import structlog
import typer

from service.config.loader import Config, load_config
from service.terminal import as_json

COLOR, ARCHIVE, MODELS, SETUP = "Coloring", "Archive", "Models", "Setup"  # panels of `--help`

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", help="Configuration file.", envvar="PHOTOCHROM_CONFIG"),
]
EvenIfColored = Annotated[
    bool,
    typer.Option(
        "--even-if-colored",
        help="Color scans that already contain color, such as a color target, a ruler or a stamp"
        " beside a gray print. Their color is replaced.",
    ),
]
DEFAULT_CONFIG = Path("config.yaml")


class ExitCode(IntEnum):
    """What a command's exit code means; 2, wrong usage, is typer's own."""

    DONE = 0
    FAULT = 1  # of the machine or of a model, or something that `verify` found
    SOME_REJECTED = 3  # or, with other commands, some that could not be found or changed
    TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h
    CONFIG = 78  # EX_CONFIG of sysexits.h; systemd must not restart after it


def config_or_defaults(path: Path) -> Config:
    """Load the configuration, or the defaults where there is no ./config.yaml.

    Raises:
        ConfigError: the file has mistakes, or was named and is missing.
    """
    return Config() if path == DEFAULT_CONFIG and not path.exists() else load_config(path)


def json_text(value: Any, indent: int | None = 2) -> str:
    """Serialize a value to JSON for standard output."""
    return as_json(value, indent, sys.stdout.encoding or "utf-8")


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    print(json_text(value))


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's start-up messages out of the log, except at level debug.

    Later it prints only when it crashes; its errors are raised. TF_CPP_MIN_LOG_LEVEL=0 shows all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    standard_error = os.dup(2)
    with TemporaryFile("w+", errors="backslashreplace") as output:
        os.dup2(output.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            output.seek(0)
            structlog.get_logger().debug("tensorflow.said", lines=output.read().splitlines())


def device() -> Any:
    """Set up the device to compute on; imports TensorFlow."""
    from worker.inference.device import set_up_device

    return set_up_device()
