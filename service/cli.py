"""The command `photochrom`: each command puts the parts together and turns faults into exit codes.

TensorFlow is imported only by the commands that color or train, so that the others answer at once.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console

from service.config import Config, ConfigError, check_config, load_config
from service.log import set_up_logging
from service.progress import progress_bar
from worker.errors import PhotochromError

EXIT_FAULT = 1  # of the machine or of a model
EXIT_SOME_REJECTED = 3
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the machine's fault holds photos up
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; systemd must not restart on it

app = typer.Typer(
    help="Colors the black-and-white photographs dropped into a folder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The configuration file.", envvar="PHOTOCHROM_CONFIG")
]
DEFAULT_CONFIG = Path("config.yaml")


def main() -> None:
    """Run the command line; a known fault ends in one plain sentence and an exit code."""
    logging.captureWarnings(capture=True)  # of libraries: into the log, or nowhere without one
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except (PhotochromError, OSError) as error:  # the latter where there is no queue to wait in
        print(f"photochrom: {error}", file=sys.stderr)
        sys.exit(EXIT_FAULT)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"photochrom {package_version('photochrom')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigFile = DEFAULT_CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Do all that waits, then exit.")] = False,
) -> None:
    """Watch the inbox and color what arrives, until stopped.

    With --once, exits 0 when all went well, 3 when some photos were rejected, 75 when the machine's
    faults hold some up.
    """
    settings = check_config(config)
    from service.daemon import Daemon
    from service.folders import make_folders
    from service.lock import StateLock

    make_folders(settings.folders.values())
    if sys.stderr.isatty():
        print(f"Drop black-and-white photographs into  {settings.inbox}", file=sys.stderr)
        print(f"and find them in color in              {settings.outbox}\n", file=sys.stderr)
    with StateLock(settings.state), progress_bar("photos", shown=once) as report:
        set_up_logging(settings.log.level, settings.log.format)
        daemon = Daemon(settings, _load_colorizer(settings), once=once, report=report)
        finished_in_time = daemon.run()
    code = 0
    if once and daemon.pipeline.tally.rejected:
        code = EXIT_SOME_REJECTED
    if once and daemon.held_up:
        code = EXIT_TRY_AGAIN
    if not finished_in_time:  # threads are still at work, and Python would wait for them
        os._exit(code)
    raise typer.Exit(code)


@app.command()
def colorize(
    files: Annotated[
        list[Path], typer.Argument(help="Black-and-white photographs.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; made if missing.")
    ],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Color the given files, without inbox or queue; nothing is moved and nothing overwritten.

    Exits 3 when some could not be colored.
    """
    settings = _config_if_any(config)
    from service.colorize import colorize_files

    with progress_bar("photos") as report:
        set_up_logging(settings.log.level, settings.log.format)
        refused = colorize_files(files, out, settings, _load_colorizer(settings), report)
    raise typer.Exit(EXIT_SOME_REJECTED if refused else 0)


@app.command()
def train(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of color photographs.", exists=True, file_okay=False),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Train this long.", min=0.1)] = None,
    steps: Annotated[int | None, typer.Option(help="Train this many steps.", min=1)] = None,
    start: Annotated[
        str,
        typer.Option("--from", metavar="VERSION", help="latest, builtin, a number, or scratch."),
    ] = "latest",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was ended.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Train the generator further on color photographs and publish it as the next version.

    Stopping it (Ctrl-C, SIGTERM) saves a checkpoint; --resume goes on from the last one, with the
    folders and the length it was begun with.
    """
    if not resume and (not folders or (minutes is None) == (steps is None)):
        raise typer.BadParameter(
            "give folders of color photographs, and either --minutes or --steps (or only --resume)"
        )
    settings = _config_if_any(config)
    with progress_bar("training") as report:
        set_up_logging(settings.log.level, settings.log.format)
        with _tensorflow_starts():
            from service.training import Wish, run_training

            device = _device()
        wish = None if resume else Wish(tuple(folders or ()), start, minutes, steps)
        run_training(settings, device, wish, report)


@app.command()
def status(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell how the work stands: what waits, what is done, what was rejected and why."""
    from service.status import print_status, read_status

    now = read_status(load_config(config))
    if as_json:
        print(json.dumps(now, indent=2))
    else:
        print_status(now, Console())


@app.command("check-config")
def check_config_command(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Check the configuration and its folders; print every mistake and exit 78 if there is one."""
    checked = check_config(config)
    print(
        f"{config} is right. Photographs dropped into {checked.inbox} come out in {checked.outbox}"
    )


def _config_if_any(path: Path) -> Config:
    """Load the configuration; where the default one does not exist, its defaults do."""
    return Config() if path == DEFAULT_CONFIG and not path.exists() else load_config(path)


@contextmanager
def _tensorflow_starts() -> Iterator[None]:
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


def _device() -> Any:
    from worker.device import set_up_device

    return set_up_device()


def _load_colorizer(settings: Config) -> Any:
    with _tensorflow_starts():
        from worker.colorizer import Colorizer
        from worker.models import ModelStore

        device = _device()
        version = ModelStore(settings.models_folder).get(settings.model.version)
        colorizer = Colorizer(version, settings.color_settings, settings.write_settings, device)
    structlog.get_logger().info(
        "model.loaded", version=version.name, device=device.name, batch_size=colorizer.batch_size
    )
    return colorizer


if __name__ == "__main__":
    main()
