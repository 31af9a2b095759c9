"""`photochrom evaluate`: the real command and the built-in generator."""

import json

import pytest

from tests.support.command import Home
from tests.support.synthetic_photos import color_scene, save

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make a home with three color photographs beside it."""
    home = Home(tmp_path_factory.mktemp("evaluate"))
    photographs = home.folder / "photographs"
    photographs.mkdir()
    for number in range(3):
        save(photographs / f"{number}.jpg", color_scene(120, 160, number))
    return home


def test_json_goes_to_standard_output_alone(home: Home) -> None:
    """Numbers of gray and of the generator that serves; the sheet lies where it was asked for."""
    arguments = ("photographs", "--json", "--photos", "2", "--sheet", "sheet.jpg")
    with home.start("evaluate", *arguments) as command:
        code = command.exit_code()
    found = json.loads(command.printed)

    assert 0 == code
    assert ["gray", "builtin"] == list(found["scores"])
    assert 2 == found["scores"]["builtin"]["photographs"]
    assert found["scores"]["builtin"]["colorfulness"] > 1
    assert found["scores"]["builtin"]["lightness_max"] < 1
    assert (home.folder / "sheet.jpg").stat().st_size > 1000


def test_a_sheet_of_an_unknown_kind_is_refused_at_once(home: Home) -> None:
    """Not after the work is done."""
    with home.start("evaluate", "photographs", "--sheet", "sheet.gif") as command:
        code = command.exit_code()

    assert 2 == code
    assert ".png" in command.said
    assert "" == command.printed
