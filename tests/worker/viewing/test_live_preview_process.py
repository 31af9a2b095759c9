"""Promises of worker.viewing.live_preview_process; what it answers is in test_live_preview."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from worker.inference.lean_imports import NOT_NEEDED

ROOT = Path(__file__).parents[3]
PROGRAM = f"""
import sys
from worker.viewing.live_preview_process import main
main(*sys.argv[1:])
print(sorted(set({NOT_NEEDED}) & set(sys.modules)), file=sys.stderr)
"""


def run(*arguments: str) -> tuple[str, str]:
    """Run it without a request; return what it answers and its last line of what is not needed."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout, done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_version_is_loaded_without_what_previews_do_not_need(tmp_path: Path) -> None:
    """It says that it is, and ends with its input."""
    assert ("{}\n", "[]") == run(str(tmp_path), "builtin", "64", "float32")


@pytest.mark.slow
def test_why_a_version_is_not_loaded_is_told(tmp_path: Path) -> None:
    """In words, and nothing else."""
    answer, _ = run(str(tmp_path), "7", "64", "float32")

    assert "version 7" in json.loads(answer)["error"]
