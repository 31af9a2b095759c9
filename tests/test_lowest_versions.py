"""The lowest versions that pyproject.toml names are those that `.ci/lowest` tests."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
BOUND = re.compile(r"(?P<name>[\w.-]+)>=(?P<version>[\d.]+)")


def canonical(name: str) -> str:
    """Write a package's name as package indexes do."""
    return re.sub(r"[-_.]+", "-", name).lower()


PINS = {
    canonical(name): version
    for name, _, version in (
        line.partition("==")
        for line in (ROOT / ".ci" / "lowest.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
}
REQUIRED = [
    *PROJECT["dependencies"],
    *(
        line
        for extra, lines in EXTRAS.items()
        if extra != "cuda"
        for line in lines
        if not line.startswith("photochrom[")
    ),
]


@pytest.mark.parametrize("requirement", REQUIRED)
def test_each_lower_bound_is_tested(requirement: str) -> None:
    """`.ci/lowest.txt` pins the very version, so that a false bound is found."""
    bound = BOUND.match(requirement)
    assert bound, f"{requirement} has no lower bound"
    version, pin = bound["version"], PINS[canonical(bound["name"])]

    assert pin == version or pin.startswith(f"{version}.")


def test_the_pins_are_complete() -> None:
    """Nothing is left to the day on which they are installed."""
    lines = (ROOT / ".ci" / "lowest.txt").read_text().splitlines()

    assert [] == [line for line in lines if not line.startswith("#") and "==" not in line]
