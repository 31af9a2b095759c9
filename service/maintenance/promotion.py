"""Promotes a model version with `photochrom models promote`, in a process of its own.

The test before a promotion loads TensorFlow, which takes gigabytes and seconds, and must not stay
in a process that serves pages.
"""

import subprocess
import sys
from pathlib import Path

from worker.errors import ModelError

TIMEOUT = 600.0  # seconds; loading a network takes long on a busy machine
_SAYS = "photochrom:"  # how the command begins an error in words


def promote(config_file: Path, version: str, why: str) -> None:
    """Test a version on probe images and make it the active one.

    Args:
        config_file: the configuration, whose state folder has the versions.
        version: its number, or "builtin".
        why: the reason, for the history.

    Raises:
        ModelError: it does not exist, is unfit or active already, or the test did not end.
    """
    words = ["models", "promote", f"--why={why}", "--config", str(config_file), "--", version]
    try:
        done = subprocess.run(  # noqa: S603 - this program
            [sys.executable, "-P", "-m", "service.cli.main", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"the test of version {version} did not end") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith(_SAYS)]
        reason = said[-1].removeprefix(_SAYS).strip() if said else f"exit code {done.returncode}"
        raise ModelError(reason)
