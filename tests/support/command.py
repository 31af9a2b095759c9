"""The real command as a process of its own, seen from outside: folders, log, exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.support.synthetic_photos import Array, gray_scene, save
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PHOTOCHROM = Path(sys.executable).with_name("photochrom")
PATIENCE = 120.0  # seconds; TensorFlow alone takes ten to start on a busy machine
HASTY = """
watch: {settle: 0.3, rescan: 1.0, incomplete_timeout: 0}
batch: {size: 2, longest_wait: 0.1}
model: {render_size: 64}
retry: {first_wait: 0.2, longest_wait: 0.4}
"""
AS_ORDINARY_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def as_in_a_shell() -> dict[str, str]:
    """Return the environment without what JAX, once imported in this process, set in it."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


class Home:
    """A folder with a config.yaml and, once a command ran, its folders."""

    def __init__(self, folder: Path, config: str | None = HASTY) -> None:
        """Write the configuration and make the inbox; without a configuration both are there."""
        self.folder = folder
        self.inbox, self.outbox = folder / "inbox", folder / "outbox"
        self.originals, self.rejected = folder / "originals", folder / "rejected"
        if config is not None:
            self.inbox.mkdir(parents=True)
            (folder / "config.yaml").write_text(config)

    def drop(self, name: str, pixels: Array | None = None, **options: Any) -> Path:
        """Put a scan in the inbox in one step, as a careful program does."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        outside = self.folder / f"outside{path.suffix}"
        save(outside, gray_scene(64, 80) if pixels is None else pixels, **options)
        return outside.rename(path)

    def start(
        self,
        *arguments: str,
        prefix: Sequence[str] = (),
        program: Sequence[str | Path] = (PHOTOCHROM,),
    ) -> "Command":
        """Start a command here."""
        return Command(self.folder, arguments, prefix, program)


class Command:
    """One run of `photochrom`, ended at the latest when its block is left."""

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        prefix: Sequence[str] = (),
        program: Sequence[str | Path] = (PHOTOCHROM,),
    ) -> None:
        """Start it, with its output going into files.

        Args:
            folder: where it works, with its config.yaml, unless the prefix leads elsewhere.
            arguments: of the program.
            prefix: what runs it.
            program: `photochrom`, or one that takes its place.
        """
        number = len(list(folder.glob("log-*")))
        self._log, self._out = folder / f"log-{number}", folder / f"out-{number}"
        with self._log.open("wb") as log, self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*prefix, *program, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={
                    **as_in_a_shell(),
                    "PYTHONUNBUFFERED": "1",
                    "PYTHONPATH": str(ROOT),
                    "PHOTOCHROM_CONFIG": str(folder / "config.yaml"),
                },
            )

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        """What it wrote to its standard error."""
        return self._log.read_text()

    @property
    def printed(self) -> str:
        """What it wrote to its standard output."""
        return self._out.read_text()

    def events(self, event: str | None = None, **keys: Any) -> list[dict[str, Any]]:
        """Read the log so far, or what of it is of one event with these keys.

        Every line must be JSON.
        """
        complete = self.said.rpartition("\n")[0]
        try:
            entries = [json.loads(line) for line in complete.splitlines()]
        except ValueError as error:
            raise AssertionError(f"a line of the log is not JSON:\n{complete}") from error
        return [
            entry
            for entry in entries
            if (event is None or event == entry["event"])
            and all(value == entry.get(key) for key, value in keys.items())
        ]

    def wait_for(self, event: str, *, times: int = 1, **keys: Any) -> None:
        """Return when an event was logged so often; fail at once when the process ends without."""

        def seen() -> bool:
            ended = self.process.poll() is not None
            found = len(self.events(event, **keys)) >= times
            assert found or not ended, f"ended without {event} {keys}:\n{self.said}"
            return found

        wait_until(seen, PATIENCE)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when a condition holds; fail at once when the process ends before."""

        def met() -> bool:
            ended = self.process.poll() is not None
            holds = condition()
            assert holds or not ended, f"ended before:\n{self.said}"
            return holds

        wait_until(met, PATIENCE)

    def signal(self, *numbers: signal.Signals) -> None:
        """Send signals."""
        for number in numbers:
            self.process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self.process.wait(PATIENCE)


def can_be_ordinary() -> bool:
    """Tell whether permissions bind a command started with `ordinary_prefix`."""
    return os.geteuid() != 0 or shutil.which("setpriv") is not None


def ordinary_prefix() -> tuple[str, ...]:
    """Return what to put before a command so that permissions bind it even for root."""
    return AS_ORDINARY_USER if os.geteuid() == 0 else ()
