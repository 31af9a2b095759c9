"""Promises of worker.inference.lean_imports; each in a process that has not imported anything."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.inference.lean_imports import NOT_NEEDED

ROOT = Path(__file__).parents[3]
LEANLY = "from worker.inference.lean_imports import import_tensorflow; import_tensorflow()"
COLORS = """
import hashlib
import numpy as np
from worker.inference.colorizer import Colorizer
from worker.inference.device import set_up_device
from worker.models.store import built_in
from worker.scan import Page
from worker.settings import ColorSettings

gray = np.random.default_rng(3).integers(0, 256, (90, 120), np.uint8)
colorizer = Colorizer(built_in(), ColorSettings(render_size=64), set_up_device())
(ab,) = colorizer.predict([Page.of(gray)])
print(hashlib.sha256(ab.tobytes()).hexdigest())
"""


def said_by(program: str) -> str:
    """Run a program in a new process, and return what it prints."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_colors_are_the_same_however_tensorflow_was_imported() -> None:
    """Byte by byte."""
    assert said_by(COLORS) == said_by(f"{LEANLY}\n{COLORS}")


def test_nothing_that_coloring_does_not_need_is_imported() -> None:
    """Whether it is installed or not; matplotlib always is."""
    told = said_by(f"import sys\n{LEANLY}\nprint(sorted(set({NOT_NEEDED}) & set(sys.modules)))")

    assert "[]" == told


def test_afterwards_every_library_can_be_imported_as_ever() -> None:
    """By whatever the process does later, such as drawing curves."""
    told = said_by(f"{LEANLY}\nimport matplotlib.pyplot\nprint(matplotlib.pyplot.plot.__name__)")

    assert "plot" == told


def test_garbage_is_collected_again_afterwards() -> None:
    """But what the imports made is left out for good."""
    told = said_by(f"import gc\n{LEANLY}\nprint(gc.isenabled(), gc.get_freeze_count() > 100_000)")

    assert "True True" == told


def test_a_library_that_was_imported_before_stays() -> None:
    """It is not hidden from anyone."""
    told = said_by(f"import matplotlib\n{LEANLY}\nimport sys\nprint('matplotlib' in sys.modules)")

    assert "True" == told


def test_a_failed_import_hides_nothing() -> None:
    """Its error is that of the import, and what comes later finds every library."""
    program = f"""
import gc, sys
sys.modules["tensorflow"] = None
try:
    {LEANLY.replace("; ", chr(10) + "    ")}
except ImportError as error:
    import matplotlib
    print(error.name, gc.isenabled())
"""
    assert "tensorflow True" == said_by(program)


def test_what_is_imported_already_is_left_alone() -> None:
    """As when a worker of a cluster loads a second version while the first colors."""
    program = f"{LEANLY}\nimport gc\nbefore = gc.get_freeze_count()\nimport json.tool, wave\n"
    told = said_by(f"{program}import_tensorflow()\nprint(gc.get_freeze_count() == before)")

    assert "True" == told
