"""The installed program answers what is asked often without importing the other commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import entry
from service.cli.status_commands import status_app

ROOT = Path(__file__).parents[3]
RUN = "import sys; sys.argv = ['photochrom', *sys.argv[1:]]; from service.cli.{} import main; "
HEAVY = "service.cli.main numpy cv2 PIL keras tensorflow"  # what the other commands need


def run(module: str, *words: str, then: str = "main()") -> subprocess.CompletedProcess[str]:
    """Run the command line by way of a module."""
    command = [sys.executable, "-c", RUN.format(module) + then, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("status",), ("find", "x"), ("where", "x", "--json")])
def test_what_is_asked_often_imports_nothing_of_the_other_commands(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Nor what looks at pixels."""
    config = tmp_path / "config.yaml"
    config.write_text("{}\n")
    then = f"""
import atexit
names = set({HEAVY.split()})
atexit.register(lambda: print("imported:", sorted(names & set(sys.modules)), file=sys.stderr))
main()
"""
    done = run("entry", *words, "--config", str(config), then=then)

    assert "imported: []" == done.stderr.splitlines()[-1]
    assert done.returncode in {0, 3}


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--help"),
        ("find", "-h"),
        ("where",),
        ("status", "--no-such-option"),
        ("status", "--config", "/nowhere/config.yaml"),
        ("--help",),
        ("check-config", "--help"),
        ("no-such-command",),
        (),
    ],
)
def test_it_says_the_same_as_all_commands_together(words: tuple[str, ...]) -> None:
    """On standard output and error, with the same exit code."""
    quick, whole = run("entry", *words), run("main", *words)

    assert whole.stdout == quick.stdout
    assert whole.stderr == quick.stderr
    assert whole.returncode == quick.returncode


def test_all_commands_of_status_are_quick() -> None:
    """A command that is added to them is."""
    names = {
        str(one.name or (one.callback and one.callback.__name__))
        for one in status_app.registered_commands
    }

    assert entry.QUICK == names
