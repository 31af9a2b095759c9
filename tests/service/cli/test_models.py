"""Promises of `photochrom models`."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.models import models_app
from worker.errors import PhotochromError

PHOTOCHROM = Path(sys.executable).with_name("photochrom")
BUILT_IN = Path(__file__).resolve().parents[3] / "worker" / "weights" / "builtin"
SCORES = {"psnr_gain": 1.234, "ab_rmse": 12.6, "colorfulness_ratio": 0.851, "kernel_share": 0.1777}
CARD = {
    "name": "postcards",
    "parent": "builtin",
    "created": "2026-11-22T17:51:02+00:00",
    "code_version": "0.2.0",
    "photographs": {"training": 980, "validation": 20, "left_out": {"gray": 3, "too small": 1}},
    "recipe": {"crop": 192, "batch": 16},
    "steps": 10891,
    "minutes": 95.0,
    "decoding": {"shift": 0.5, "temperature": 0.6},
    "alpha": 0.75,
    "scores": {"validation": SCORES, "reference": {**SCORES, "psnr_gain": 0.9}},
    "current": {"validation": {**SCORES, "psnr_gain": 1.1}, "reference": None},
    "promotion": {"promoted": False, "why": "worse: ab error [red] rose by 0.4"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a configuration and three versions, as wide as a desk."""
    (tmp_path / "config.yaml").write_text("state: state\n")
    for number in (1, 2, 3):
        add(tmp_path, number, CARD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def add(home: Path, number: int, card: dict[str, Any]) -> Path:
    """Put a version into the store by hand; its generator is no network."""
    folder = home / "state" / "models" / f"{number:04d}"
    folder.mkdir(parents=True)
    (folder / "generator.keras").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (folder / "card.json").write_text(json.dumps({**card, "sha256": digest}))
    return folder


def promote_by_hand(home: Path, *versions: str) -> None:
    """Write the history."""
    history = [{"version": one, "at": CARD["created"], "why": "better"} for one in versions]
    (home / "state" / "models" / "promotions.json").write_text(json.dumps(history))


FIRST_FORM = {"parent": "scratch", "created": CARD["created"], "scores": {"psnr_gain": 1.502}}


def say(*arguments: str) -> str:
    """Run a command that goes well, and return what it says."""
    done = CliRunner().invoke(models_app, arguments, catch_exceptions=False)
    assert 0 == done.exit_code, done.output
    return done.output


def refuse(*arguments: str) -> PhotochromError:
    """Run a command that is refused, and return with what."""
    done = CliRunner().invoke(models_app, arguments)
    assert isinstance(done.exception, PhotochromError)
    return done.exception


def line(text: str, start: str) -> str:
    """Return the line that starts so, with single spaces."""
    (found,) = (" ".join(one.split()) for one in text.splitlines() if one.startswith(start))
    return found


class TestList:
    """All versions at a glance."""

    def test_a_version_has_its_line(self, home: Path) -> None:
        """With state, name, time, parent, and scores on both sets of photographs."""
        promote_by_hand(home, "1", "2")
        said = say("list")

        assert (
            "2 postcards serving 2026-11-22 17:51 builtin 1.23 / 0.90 12.60 / 12.60 0.85 / 0.85 "
            "0.178 / 0.178"
        ) == line(said, "2 ")
        assert line(said, "1 ").startswith("1 postcards retired")
        assert line(said, "3 ").startswith("3 postcards candidate")
        assert line(said, "builtin").startswith("builtin retired")

    def test_only_a_candidate_says_why_not(self, home: Path) -> None:
        """In the words of its card, whatever they hold."""
        promote_by_hand(home, "2")
        said = say("list")

        assert "3: not promoted: worse: ab error [red] rose by 0.4" == line(said, "3:")
        assert "\n2:" not in said

    def test_an_older_card_has_open_places(self, home: Path) -> None:
        """One of the first form has scores on one set; an empty card has none."""
        add(home, 4, {})
        add(home, 5, FIRST_FORM)
        said = say("list")

        assert "4 candidate" == line(said, "4 ")
        assert "5 candidate 2026-11-22 17:51 scratch 1.50 / -" in line(said, "5 ")

    def test_a_version_that_cannot_be_read_hides_no_other(self, home: Path) -> None:
        """It has its line, and the fault is told below; so for a promoted one that is gone."""
        (home / "state" / "models" / "0001" / "card.json").write_text("{")
        promote_by_hand(home, "9")
        said = say("list")

        assert "1 candidate, unreadable" == line(said, "1 ")
        assert "1: the card of model version 1 cannot be read" in line(said, "1:")
        assert "9 serving, unreadable" == line(said, "9 ")
        assert "9: there is no model version 9" in line(said, "9:")
        assert line(said, "3 ").startswith("3 postcards candidate")

    def test_a_fixed_version_is_told(self, home: Path) -> None:
        """Else one would wonder why the promoted one does not color."""
        (home / "config.yaml").write_text("model: {version: 2}\n")

        assert "in use: version 2, by model.version in the configuration" == line(
            say("list"), "in use"
        )

    def test_as_json_it_holds_the_same(self, home: Path) -> None:
        """In keys that stay."""
        promote_by_hand(home, "2")
        listed = json.loads(say("list", "--json"))

        assert ("2", "promoted") == (listed["promoted"], listed["configured"])
        assert ["builtin", "1", "2", "3"] == [one["version"] for one in listed["versions"]]
        assert {
            "version": "3",
            "state": "candidate",
            "name": "postcards",
            "created": CARD["created"],
            "parent": "builtin",
            "scores": CARD["scores"],
            "why_not": CARD["promotion"]["why"],
            "fault": None,
        } == listed["versions"][3]

    def test_a_damaged_history_is_refused(self, home: Path) -> None:
        """Nobody may think that the built-in version serves."""
        (home / "state" / "models" / "promotions.json").write_text("?")

        assert "active version is unknown" in str(refuse("list"))

    def test_without_a_configuration_or_store_the_built_in_is_listed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing is made."""
        monkeypatch.chdir(tmp_path)

        assert line(say("list"), "builtin").startswith("builtin serving")
        assert [] == list(tmp_path.iterdir())


class TestShow:
    """One version's card."""

    def test_the_card_is_readable(self, home: Path) -> None:
        """Its origin, verdict and pictures, its scores beside those of what served then."""
        (home / "state" / "models" / "0003" / "sheet.jpg").write_bytes(b"sheet")
        said = say("show", "3")

        assert "version 3 (postcards): candidate" == line(said, "version")
        assert "trained 10,891 steps, 95.0 minutes" == line(said, "trained")
        assert "photographs 980 for training, 20 for validation" == line(said, "photographs")
        assert "left out gray 3, too small 1" == line(said, "left out")
        assert "weights 75% trained, the rest its parent's" == line(said, "weights")
        assert "verdict worse: ab error [red] rose by 0.4" == line(said, "verdict")
        assert f"sheet {home}/state/models/0003/sheet.jpg" == line(said, "sheet")
        assert "psnr_gain 1.234 1.1 0.9" == line(said, "psnr_gain")

    def test_without_a_number_it_is_what_serves(self, home: Path) -> None:
        """With when and why it was promoted."""
        promote_by_hand(home, "2")
        said = say("show")

        assert "version 2 (postcards): serving" == line(said, "version")
        assert "promoted 2026-11-22T17:51:02+00:00: better" == line(said, "promoted")

    def test_the_built_in_card_is_shown(self, home: Path) -> None:
        """With its scores on both sets."""
        assert home
        said = say("show", "builtin")
        card = json.loads((BUILT_IN / "card.json").read_text())
        gains = [card["scores"][photos]["psnr_gain"] for photos in ("validation", "reference")]

        assert line(said, "version").startswith("version builtin: serving")
        assert f"psnr_gain {gains[0]} {gains[1]}" == line(said, "psnr_gain")

    def test_a_card_of_the_first_form_is_shown(self, home: Path) -> None:
        """With the scores it has."""
        add(home, 5, FIRST_FORM)

        assert "psnr_gain 1.502" == line(say("show", "5"), "psnr_gain")

    def test_as_json_it_is_the_whole_card(self, home: Path) -> None:
        """Beside where it lies and what it is."""
        about = json.loads(say("show", "3", "--json"))

        assert CARD.items() <= about["card"].items()
        assert ("3", "candidate") == (about["version"], about["state"])
        assert f"{home}/state/models/0003" == about["folder"]

    @pytest.mark.parametrize(
        ("name", "words"), [("9", "no model version 9"), ("x", "use promoted")]
    )
    def test_what_is_not_there_is_told(self, home: Path, name: str, words: str) -> None:
        """With what can be asked for."""
        assert home
        assert words in str(refuse("show", name))


class TestRollback:
    """Back to what served before."""

    def test_it_tells_who_serves(self, home: Path) -> None:
        """And keeps the reason."""
        promote_by_hand(home, "1", "3")
        said = say("rollback", "--why", "blotches")
        history = json.loads((home / "state" / "models" / "promotions.json").read_text())

        assert said.startswith("version 1 is now promoted")
        assert {"version": "1", "why": "blotches", "rollback": True}.items() <= history[-1].items()
        assert line(say("list"), "1 ").startswith("1 postcards serving")

    def test_where_nothing_served_before_it_is_refused(self, home: Path) -> None:
        """Nothing is noted."""
        assert "nothing to roll back to" in str(refuse("rollback"))
        assert not (home / "state" / "models" / "promotions.json").exists()

    def test_a_fixed_version_is_told(self, home: Path) -> None:
        """Since the rollback does not change what colors."""
        promote_by_hand(home, "1", "3")
        (home / "config.yaml").write_text("model: {version: 3}\n")

        assert "but model.version in the configuration is 3" in say("rollback")


class TestPrune:
    """Old versions go."""

    def test_a_dry_run_removes_nothing(self, home: Path) -> None:
        """And names what would go."""
        assert "would delete: 1, 2\n" == say("prune", "--keep", "1", "--dry-run")
        assert {"0001", "0002", "0003"} <= {
            path.name for path in (home / "state" / "models").iterdir()
        }

    def test_what_the_configuration_names_stays(self, home: Path) -> None:
        """Beside the newest; the others go."""
        (home / "config.yaml").write_text("model: {version: 1}\n")

        assert "deleted: 2\n" == say("prune", "--keep", "1")
        assert "deleted: none\n" == say("prune", "--keep", "1")
        assert not (home / "state" / "models" / "0002").exists()


@pytest.mark.parametrize("command", ["list", "show", "rollback", "prune --keep 1", "--help"])
def test_tensorflow_is_not_loaded_for_a_quick_answer(home: Path, command: str) -> None:
    """Nor anything else that knows pixels."""
    promote_by_hand(home, "1", "3")
    question = (
        "import sys; from service.cli.main import main; sys.argv[0] = 'photochrom'\n"
        "try: main()\n"
        "finally: print('loaded:', sorted({'tensorflow', 'keras', 'numpy', 'cv2', 'PIL'} "
        "& set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", question, "models", *command.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "loaded: []") == (done.returncode, done.stderr.strip())


@pytest.mark.slow
def test_promoting_and_exporting_with_a_real_generator(home: Path) -> None:
    """The commands end well and say what they did; a version that is no generator is refused."""
    shutil.rmtree(home / "state" / "models" / "0003")
    shutil.copytree(BUILT_IN, home / "state" / "models" / "0003")

    def photochrom(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PHOTOCHROM, "models", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    refused = photochrom("promote", "2")
    promoted = photochrom("promote", "3", "--why", "seen")
    exported = photochrom("export", "3", "--to", "colors.keras", "--format", "keras")

    assert 1 == refused.returncode
    assert "cannot be loaded as a generator" in refused.stderr
    assert (0, "") == (promoted.returncode, promoted.stderr)
    assert "version 3 is now promoted\na running daemon will switch to it\n" == promoted.stdout
    assert line(say("list"), "3 ").startswith("3 serving")
    assert 0 == exported.returncode
    assert "differs from the generator by at most" in exported.stdout
    assert (home / "colors.keras").is_file()
