"""What commands start with: their configuration, and TensorFlow, where they need it, quietly."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

import structlog
import typer

from service.config.loader import Config, load_config
from service.terminal import as_json

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="PHOTOCHROM_CONFIG")
]
EvenIfColored = Annotated[
    bool,
    typer.Option(
        "--even-if-colored",
        help="Color them even if they are in color, as by a color target, a ruler or a stamp beside"
        " a gray print; that color is replaced.",
    ),
]
DEFAULT_CONFIG = Path("config.yaml")


def config_if_any(path: Path) -> Config:
    """Load the configuration; where the default one does not exist, its defaults do.

    Raises:
        ConfigError: the file has mistakes, or is missing and was asked for.
    """
    return Config() if path == DEFAULT_CONFIG and not path.exists() else load_config(path)


def json_text(value: Any, indent: int | None = 2) -> str:
    """Write JSON for standard output, where nothing else of a command with `--json` goes."""
    return as_json(value, indent, sys.stdout.encoding or "utf-8")


def print_json(value: Any) -> None:
    """Print JSON on standard output."""
    print(json_text(value))


@contextmanager
def tensorflow_starts() -> Iterator[None]:
    """Keep what TensorFlow writes at its start out of the log, but for debugging.

    Later it writes only when it dies; its errors are raised. TF_CPP_MIN_LOG_LEVEL=0 shows all.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    with TemporaryFile("w+", errors="backslashreplace") as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            structlog.get_logger().debug("tensorflow.said", lines=said.read().splitlines())


def device() -> Any:
    """Set up what computes; TensorFlow is loaded."""
    from worker.inference.device import set_up_device

    return set_up_device()
