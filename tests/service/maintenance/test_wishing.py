"""Wishes of colors for photographs that are finished already."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from service.config.loader import Config
from service.config.pixel_points import PixelPoint
from service.config.sections import Color
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.rebuild import rebuild
from service.maintenance.wishing import Asked, apply_wishes, parse_wishes, wish_for
from service.storage.sidecar import read_sidecar
from tests.support.delivered_results import color, finish, place
from worker.settings import AS_GENERATED, ColorPoint, ColorWishes, Reference

COAT = PixelPoint(0, 1, 2, "#7a1f2b")
SUNSET = Reference("sunset.jpg", "0" * 64, ((20, 40, 900), (0, 0, 100)))
REFERENCE = asdict(SUNSET)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where two photographs were colored, of 4 x 3 pixels each."""
    config = place(tmp_path)
    for name in ("1931/a.tif", "b.tif"):
        color(config, name)
    return config


def job(config: Config, number: int) -> Job:
    """Return a job as the ledger has it."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        found = ledger.job(number)
    assert found
    return found


def test_a_photograph_is_queued_with_what_is_wished(config: Config) -> None:
    """A pixel becomes a place by the size that the sidecar has; the other photograph stays."""
    (queued,) = wish_for(config, ["1931/a.tif"], Asked(70, None, (COAT,), 1, "Ada", "a swatch"))
    wishes = job(config, 1).settings.wishes(Color(warmth=9))

    assert (1, JobStatus.QUEUED, True) == (queued.id, queued.status, queued.recolor)
    assert (70, 9, 1) == (wishes.vividness, wishes.warmth, wishes.variant)
    assert (ColorPoint(1.5 / 4, 2.5 / 3, "#7a1f2b", who="Ada", source="a swatch"),) == wishes.points
    assert JobStatus.FINISHED is job(config, 2).status


def test_what_was_wished_before_stays(config: Config) -> None:
    """Until it is wished otherwise; points are said as a whole."""
    apply_wishes(config, 1, ColorWishes(60, 5, (ColorPoint(0.5, 0.5, "#000000"),), 2))
    finish_again(config)
    wish_for(config, ["1"], Asked(vividness=70))
    wishes = job(config, 1).settings.wishes(Color(vividness=10, warmth=10))

    assert ColorWishes(70, 5, (ColorPoint(0.5, 0.5, "#000000"),), 2) == wishes
    finish_again(config)
    apply_wishes(config, 1, AS_GENERATED)
    assert AS_GENERATED == job(config, 1).settings.wishes(Color(vividness=10, warmth=10))


def test_a_reference_is_kept_until_another_or_none_is_wished(config: Config) -> None:
    """With who chose it on what evidence; other wishes come and go beside it."""
    wish_for(config, ["1"], Asked(reference=SUNSET, who="Ada", source="an autochrome"))
    first = job(config, 1).settings.wishes(Color())
    finish_again(config)
    wish_for(config, ["1"], Asked(vividness=70))
    second = job(config, 1).settings.wishes(Color())
    finish_again(config)
    wish_for(config, ["1"], Asked(no_reference=True))

    assert replace(SUNSET, who="Ada", source="an autochrome") == first.reference
    assert replace(first, vividness=70) == second
    assert ColorWishes(vividness=70) == job(config, 1).settings.wishes(Color())


@pytest.mark.parametrize(
    ("chosen", "asked", "words"),
    [
        (["1", "9"], Asked(70), "no photograph has this number or path: 9"),
        (["1", "2"], Asked(points=(PixelPoint(0, 4, 0, "#000000"),)), "job 1, 1931/a.tif: the p"),
        (["1"], Asked(vividness=70, points=(PixelPoint(1, 0, 0, "#000000"),)), "no page 2"),
    ],
)
def test_what_cannot_be_wished_changes_nothing(
    config: Config, chosen: list[str], asked: Asked, words: str
) -> None:
    """Not even for those photographs that could have it."""
    with pytest.raises(ValueError, match=re.escape(words)):
        wish_for(config, chosen, asked)

    for number in (1, 2):
        assert JobStatus.FINISHED is job(config, number).status
        assert AS_GENERATED == job(config, number).settings.wishes(Color())


def test_a_photograph_that_is_not_finished_is_told(config: Config) -> None:
    """It has no result to be colored again."""
    apply_wishes(config, 1, ColorWishes(60))
    with pytest.raises(ValueError, match="job 1 is waiting, not finished"):
        apply_wishes(config, 1, ColorWishes(70))
    with pytest.raises(ValueError, match="there is no photograph 9"):
        apply_wishes(config, 9, ColorWishes(70))

    assert 60 == job(config, 1).settings.wishes(Color()).vividness


def test_without_a_sidecar_the_place_of_a_color_is_not_known(config: Config) -> None:
    """But all else can be wished."""
    (config.outbox / "b.tif.json").unlink()
    with pytest.raises(ValueError, match="its sidecar is missing"):
        wish_for(config, ["2"], Asked(points=(COAT,)))

    assert 1 == len(wish_for(config, ["2"], Asked(warmth=10)))


def test_a_rebuilt_ledger_knows_what_was_wished(config: Config) -> None:
    """From the sidecar, where it stands with who said so."""
    point = ColorPoint(0.25, 0.5, "#7a1f2b", who="Ada", source="a swatch")
    wishes = ColorWishes(70, -5, (point,), 1, replace(SUNSET, who="Ada"))
    apply_wishes(config, 1, wishes)
    finish_again(config)
    kept = read_sidecar(config.outbox / "1931/a.tif.json").wishes
    FolderMonitor(config.folders).refresh()
    (config.state / LEDGER_FILE).unlink()
    rebuild(config, lambda *_: None)
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        found = {str(one.path): one for one in ledger.all_jobs()}

    assert kept is not None
    assert wishes == kept.asked
    assert wishes == found["1931/a.tif"].settings.wishes(Color())
    assert 0.25 == found["1931/a.tif"].confidence
    assert (1.5, None) == (found["1931/a.tif"].change, found["b.tif"].change)
    assert AS_GENERATED == found["b.tif"].settings.wishes(Color())


def finish_again(config: Config) -> None:
    """Color what is queued, as a daemon does."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for claimed in ledger.claim(9, 9e9, in_flight=0):
            finish(config, ledger, claimed)


class TestJson:
    """Wishes as a page sends them."""

    def test_wishes_come_back(self) -> None:
        """What is missing is as generated."""
        point = {"x": 0.5, "y": 0.25, "color": "#7a1f2b", "who": "Ada"}
        text = json.dumps({"vividness": 70, "points": [point]})
        expected = ColorWishes(vividness=70, points=(ColorPoint(0.5, 0.25, "#7a1f2b", who="Ada"),))

        assert expected == parse_wishes(json.loads(text))
        assert AS_GENERATED == parse_wishes({})
        for wishes in (AS_GENERATED, ColorWishes(reference=SUNSET)):
            assert wishes == parse_wishes(json.loads(json.dumps(asdict(wishes))))

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({"vividnes": 3}, "unknown wish: vividnes"),
            ({"vividness": 101}, "vividness must be a number from 0 to 100, not 101"),
            ({"vividness": "much"}, "vividness: Input should be a valid number"),
            ({"points": [{"x": 0, "y": 0}]}, "points.0.color: Field required"),
            ({"points": [{"x": 0, "y": 0, "color": "red"}]}, "written as #rrggbb, not red"),
            ({"points": [{"x": 0, "y": 0, "colour?": "red"}]}, "unknown part of a point: colour?"),
            ({"points": 3}, "points: Input should be a valid tuple"),
            ({"reference": {"name": "a", "sha256": "0" * 64}}, "reference.colors: Field required"),
            ({"reference": {**REFERENCE, "sha256": "x"}}, "must be 64 hexadecimal digits"),
            ({"reference": {**REFERENCE, "colors": [[0, 0]]}}, "reference.colors.0.2: Field"),
            ({"reference": {**REFERENCE, "colors": [[0, 0, 2.5]]}}, "valid integer"),
            ({"reference": {**REFERENCE, "path": "/"}}, "unknown part of a reference: path"),
        ],
    )
    def test_impossible_ones_are_told(self, data: dict[str, Any], words: str) -> None:
        """In words, with where they stand."""
        with pytest.raises(ValueError, match=re.escape(words)):
            parse_wishes(data)
