"""The benchmarks still run; what they measure is told, and not judged."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.synthetic_photos import color_scene, save

ROOT = Path(__file__).parents[2]
NEEDS = {
    "browsing": pytest.mark.skipif(
        shutil.which("chromium") is None, reason="chromium is not installed"
    ),
    "cluster_scaling": pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
}
BUILT_IN = "worker/weights/builtin/generator.keras"
TINY_BATCH = "--precision float32 --side 64 --batch 2 --rounds 1 --seconds 0"
pytestmark = pytest.mark.timeout(600)  # some start four programs with TensorFlow in turn
SHORT_FORMS = [
    # benchmark, options, what its last row tells of
    ("browsing", "--megapixels 1 --photographs 1", "another one"),
    ("cluster_scaling", "--workers 1 --seconds 0 --rounds 8", "| 1 |"),
    ("daemon_limit", "--photos 30", "30 of 20 KB"),
    ("gallery", "--results 300 --times 1", "cards brought up to date"),
    ("generator_speed", f"{TINY_BATCH} --with {BUILT_IN}", "generator.keras | float32 |"),
    ("large_scans", "--command --steps 0.1 --layouts 5 0 --rounds 1", "| delivered |"),
    ("latency", "--photos 2", "| at once after the result before | 2 |"),
    ("many_files", "--known --new 30", "| 30 |"),
    ("start", "--starts 1 --rows 30", "`status`, 30 rows, this"),
    ("throughput", "--small 1 --large 0 --seconds 0.1", "1 JPEGs of 1 megapixels, float32"),
    (
        "training_speed",
        "--photos 4 --encoder none --crop 64 --batch 2 --seconds 0.1",
        "whole training",
    ),
    ("viewing", "--megapixels 1 --tries 1", "swatches of a place"),
]


def last_row(module: str, *options: str | Path) -> str:
    """Run a benchmark; return the last row of its last table, which has a cell for each column."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    *_, table, conditions = done.stdout.strip().split("\n\n")
    heading, _line, *rows = table.splitlines()
    assert heading.count("|") == rows[-1].count("|")
    assert f"tests.benchmarks.{module} " in " ".join(conditions.split())
    return rows[-1]


@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [pytest.param(*each, marks=NEEDS.get(each[0], ()), id=each[0]) for each in SHORT_FORMS],
)
def test_a_benchmark_runs_and_prints_its_table(
    tmp_path: Path, module: str, options: str, expected: str
) -> None:
    """In its short form; it checks itself that its work was done."""
    assert expected in last_row(module, *options.split(), "--on", tmp_path)


def test_the_ablation_scores_its_rows(tmp_path: Path) -> None:
    """The textbook's row, a step of it: the other ones are trained by what other tests try."""
    known, unknown = tmp_path / "known", tmp_path / "unknown"
    for folder, count in ((known, 18), (unknown, 2)):
        folder.mkdir()
        for number in range(count):
            save(folder / f"{number}.jpg", color_scene(200, 200, number), quality=90)
    options = (
        *(known, "--validation", unknown, "--out", tmp_path / "out"),
        *("--minutes", "0.001", "--rows", "textbook"),
    )

    assert last_row("ablation", *options).startswith("| textbook | 1 |")
