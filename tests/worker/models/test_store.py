"""Promises of worker.models.store."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from worker.errors import ModelError
from worker.inference.trial import try_version
from worker.models import store as models
from worker.models import version_folders
from worker.models.decoding import color_grid, with_decoding
from worker.models.promotions import PROMOTIONS_FILE
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.models.version import CARD_FILE, GENERATOR_FILE, ModelVersion, version_name

CARD = {"steps": 3}
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
FAKE_BUILT_IN = ModelVersion("builtin", Path("nowhere"), {})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """Return an empty store, beside a built-in version that needs no file."""
    monkeypatch.setattr(models, "built_in", lambda: FAKE_BUILT_IN)
    monkeypatch.setattr(ModelVersion, "check_digest", only_of_files(ModelVersion.check_digest))
    return ModelStore(tmp_path / "state" / "models")


@pytest.fixture(scope="session")
def served(small_generator: keras.Model) -> keras.Model:
    """Return the small generator with a decoding, as it is published."""
    return with_decoding(small_generator, np.linspace(-1, 1, len(color_grid())), 0.5)


@pytest.fixture(scope="session")
def published(served: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save one version to be copied by tests: saving takes longer than copying."""
    folder = tmp_path_factory.mktemp("published") / "0001"
    models.save_version(served, CARD, folder)
    return folder


@pytest.fixture
def filled(store: ModelStore, published: Path, tmp_path: Path) -> ModelStore:
    """Return the store with versions 1 to 5."""
    for number in range(1, 6):
        shutil.copytree(published, tmp_path / "state" / "models" / f"{number:04d}")
    return store


def untried(version: ModelVersion) -> None:
    """Let every version pass: what promotion does with the check is tested once."""


def only_of_files(check: Any) -> Any:
    """Leave out the built-in version that has no file."""
    return lambda version: None if version == FAKE_BUILT_IN else check(version)


def shown(folder: Path) -> list[str]:
    """List what a folder holds, hidden things included, but for the record of numbers."""
    return sorted(
        path.name for path in folder.iterdir() if path.name != version_folders.LAST_NUMBER_FILE
    )


def test_versions_are_numbered(store: ModelStore, served: keras.Model) -> None:
    """Each publish gets the next number and keeps its card; the others stay, and none serves."""
    first = store.publish(served, CARD)
    second = store.publish(served, {"steps": 9})

    assert ["1", "2"] == [first.name, second.name]
    assert ["builtin", "1", "2"] == [version.name for version in store.versions()]
    assert (first, second) == (store.get(1), store.get(2))
    assert FAKE_BUILT_IN == store.get("promoted")
    assert [3, 9] == [first.card["steps"], second.card["steps"]]
    assert sorted([GENERATOR_FILE, CARD_FILE]) == shown(first.folder)


def test_an_empty_store_has_the_built_in(store: ModelStore, tmp_path: Path) -> None:
    """Where nothing was published, the built-in version serves; asking makes no folder."""
    assert [FAKE_BUILT_IN] == store.versions()
    assert FAKE_BUILT_IN == store.get("promoted") == store.get("builtin")
    assert [] == store.promotions()
    assert not (tmp_path / "state").exists()


def test_a_missing_version_is_named(store: ModelStore) -> None:
    """A number that was never published is a ModelError with that number."""
    with pytest.raises(ModelError, match="version 7 "):
        store.get(7)


def fail(*_: Any, **__: Any) -> None:
    """Be a disk that is full."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("failing", ["save", "sync", "digest"])
def test_a_failed_publish_leaves_no_version(
    store: ModelStore,
    served: keras.Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    failing: str,
) -> None:
    """A disk that fails while publishing leaves nothing; the next publish has the first number."""
    folder = tmp_path / "state" / "models"
    with monkeypatch.context() as broken:
        if failing == "save":
            broken.setattr(keras.Model, "save", fail)
        else:
            broken.setattr(models, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            store.publish(served, CARD)

        assert [FAKE_BUILT_IN] == store.versions()
        assert [] == shown(folder)
    version = store.publish(served, CARD)

    assert "1" == version.name
    assert ["0001"] == shown(folder)


def test_a_crash_between_files_is_swept(
    store: ModelStore, served: keras.Model, tmp_path: Path
) -> None:
    """Half a version that a killed process left is not a version and goes with the next publish."""
    left = tmp_path / "state" / "models" / ".publishing-99999"
    left.mkdir(parents=True)
    (left / GENERATOR_FILE).write_bytes(b"half")

    assert [FAKE_BUILT_IN] == store.versions()
    store.publish(served, CARD)

    assert ["0001"] == shown(left.parent)


@pytest.mark.parametrize("card", ["", "{", "[]", "{}"])
def test_a_broken_card_is_a_model_error(
    store: ModelStore, published: Path, tmp_path: Path, card: str
) -> None:
    """A card that cannot be read, or lacks what it must have, is a ModelError, never another."""
    home = tmp_path / "state" / "models" / "0001"
    shutil.copytree(published, home)
    (home / CARD_FILE).write_text(card)

    with pytest.raises(ModelError):
        load_generator(store.get(1))


def test_a_broken_version_does_not_block_the_store(
    store: ModelStore, served: keras.Model, published: Path, tmp_path: Path
) -> None:
    """Beside a version with a broken card the next one can be published and read."""
    home = tmp_path / "state" / "models" / "0001"
    shutil.copytree(published, home)
    (home / CARD_FILE).write_text("{")
    version = store.publish(served, CARD)

    assert "2" == version.name
    assert version == store.get(2)
    assert ["builtin", "1", "2"] == store.names()


def test_strange_things_in_the_folder_are_left_alone(
    store: ModelStore, served: keras.Model, tmp_path: Path
) -> None:
    """Notes and folders with other names are neither versions nor swept."""
    folder = tmp_path / "state" / "models"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "12 old").mkdir()
    store.publish(served, CARD)

    assert ["0001", "12 old", "notes.txt"] == shown(folder)
    assert ["builtin", "1"] == [version.name for version in store.versions()]


def test_attachments_lie_beside_the_card(
    store: ModelStore, served: keras.Model, tmp_path: Path
) -> None:
    """Sheet and curves are copied under their names; the originals stay."""
    sheet, curves = tmp_path / "sheet.jpg", tmp_path / "curves.png"
    sheet.write_bytes(b"sheet")
    curves.write_bytes(b"curves")
    version = store.publish(served, CARD, [sheet, curves])

    assert [CARD_FILE, "curves.png", GENERATOR_FILE, "sheet.jpg"] == shown(version.folder)
    assert b"sheet" == (version.folder / "sheet.jpg").read_bytes() == sheet.read_bytes()


class TestPromotion:
    """What serves is what was promoted last."""

    def test_a_promoted_version_serves(self, filled: ModelStore) -> None:
        """With its reason and time in the history, for another process too."""
        promoted = filled.promote(3, "better", NOW, untried)
        entry = filled.promotions()[-1]

        assert "3" == promoted.name == filled.promoted().name == filled.get("promoted").name
        assert ("3", "2026-11-22T12:00:00+00:00", "better") == (entry.version, entry.at, entry.why)

    def test_rollback_goes_back_one_by_one(self, filled: ModelStore) -> None:
        """Down to the built-in version, never to what was taken back; then it says so."""
        filled.promote(3, "better", NOW, untried)
        filled.promote(5, "better still", NOW, untried)

        assert ["3", "builtin"] == [filled.rollback("blotches", NOW).name for _ in range(2)]
        assert "builtin" == filled.promoted().name
        with pytest.raises(ModelError, match="nothing to roll back to"):
            filled.rollback("more", NOW)
        assert ["3", "5", "3", "builtin"] == [one.version for one in filled.promotions()]

    def test_the_built_in_can_be_promoted(self, filled: ModelStore) -> None:
        """And rolling that back returns to the version before it."""
        filled.promote(2, "better", NOW, untried)
        filled.promote("builtin", "worse after all", NOW, untried)

        assert "2" == filled.rollback("no, better", NOW).name

    @pytest.mark.parametrize("name", ["builtin", "promoted"])
    def test_what_serves_is_not_promoted_again(self, filled: ModelStore, name: Any) -> None:
        """It is told, and nothing is noted."""
        with pytest.raises(ModelError, match="already promoted"):
            filled.promote(name, "again", NOW, untried)

        assert [] == filled.promotions()

    def test_a_rollback_to_an_altered_version_is_refused(
        self, filled: ModelStore, tmp_path: Path
    ) -> None:
        """What serves goes on serving."""
        filled.promote(2, "better", NOW, untried)
        filled.promote(4, "better", NOW, untried)
        (tmp_path / "state" / "models" / "0002" / GENERATOR_FILE).write_bytes(b"else")
        with pytest.raises(ModelError, match="SHA-256"):
            filled.rollback("blotches", NOW)

        assert "4" == filled.promoted().name

    def test_a_promoted_version_that_vanished_is_told(
        self, filled: ModelStore, tmp_path: Path
    ) -> None:
        """No other version silently takes its place; promoting another mends it."""
        filled.promote(2, "better", NOW, untried)
        shutil.rmtree(tmp_path / "state" / "models" / "0002")

        with pytest.raises(ModelError, match=r"there is no model version 2 .* models promote"):
            filled.promoted()
        assert "1" == filled.promote(1, "the other is gone", NOW, untried).name

    def test_a_disk_that_fails_changes_nothing(
        self, filled: ModelStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What served before serves, and the error comes through."""
        filled.promote(2, "better", NOW, untried)
        with monkeypatch.context() as broken:
            broken.setattr("worker.atomic.os.fsync", fail)
            with pytest.raises(OSError, match="No space left"):
                filled.promote(3, "better", NOW, untried)

        assert "2" == filled.promoted().name


def test_a_version_that_colors_everything_gray_is_not_promoted(
    store: ModelStore, served: keras.Model
) -> None:
    """The canary refuses it with its reason, and nothing is noted."""
    dull = keras.models.clone_model(served)
    dull.set_weights(served.get_weights())
    kernel, bias = dull.get_layer("logits").get_weights()
    gray = np.abs(color_grid()).sum(axis=1) == 0
    dull.get_layer("logits").set_weights([0 * kernel, np.where(gray, 40.0, bias)])
    store.publish(dull, CARD)
    with pytest.raises(ModelError, match="version 1 is not fit to serve"):
        store.promote(1, "try", NOW, try_version)

    assert [] == store.promotions()


def test_a_broken_version_is_not_promoted(filled: ModelStore, tmp_path: Path) -> None:
    """Neither an altered file nor a missing version, and nothing is noted."""
    (tmp_path / "state" / "models" / "0001" / GENERATOR_FILE).write_bytes(b"else")

    for name, words in ((1, "SHA-256"), (9, "no model version 9")):
        with pytest.raises(ModelError, match=words):
            filled.promote(name, "try", NOW, try_version)
    assert not (tmp_path / "state" / "models" / PROMOTIONS_FILE).exists()


class TestPruning:
    """Old versions go, and never one that is needed."""

    def test_the_oldest_go(self, filled: ModelStore, tmp_path: Path) -> None:
        """The newest stay, and nothing else is touched."""
        (tmp_path / "state" / "models" / "notes.txt").write_text("mine")

        assert ["1", "2", "3"] == filled.prunable(2)
        assert ["1", "2", "3"] == filled.prune(2)
        assert ["0004", "0005", "notes.txt"] == shown(tmp_path / "state" / "models")

    def test_what_serves_and_what_served_before_stay(self, filled: ModelStore) -> None:
        """However old they are; a rollback still works afterwards."""
        for name in (4, 1, 2):
            filled.promote(name, "better", NOW, untried)

        assert ["3", "4", "5"] == filled.prune(0)
        assert ["builtin", "1", "2"] == filled.names()
        assert "1" == filled.rollback("blotches", NOW).name

    def test_what_the_configuration_names_stays(self, filled: ModelStore) -> None:
        """Given as spare."""
        assert ["1", "3", "4", "5"] == filled.prune(0, {"2", "promoted"})

    def test_more_to_keep_than_there_are(self, filled: ModelStore) -> None:
        """Removes nothing."""
        assert [] == filled.prune(9)

    def test_a_number_is_not_given_again(self, filled: ModelStore, served: keras.Model) -> None:
        """Not even that of the highest version, once it is pruned."""
        filled.prune(0)

        assert ["builtin"] == filled.names()
        assert "6" == filled.publish(served, CARD).name

    def test_versions_that_cannot_be_read_go_too(self, filled: ModelStore, tmp_path: Path) -> None:
        """A broken card protects nothing."""
        (tmp_path / "state" / "models" / "0001" / CARD_FILE).write_text("{")

        assert ["1"] == filled.prune(4)


@pytest.mark.parametrize(
    ("text", "name"), [("promoted", "promoted"), ("builtin", "builtin"), ("3", 3), ("0012", 12)]
)
def test_a_version_is_named_in_words_or_by_number(text: str, name: int | str) -> None:
    """As people write it."""
    assert name == version_name(text)


@pytest.mark.parametrize("text", ["latest", "", "0", "-1", "1.5", "scratch", "\u0663"])
def test_anything_else_names_no_version(text: str) -> None:
    """It is repeated, with what can be said instead."""
    with pytest.raises(ModelError, match="use promoted, builtin, or a number"):
        version_name(text)


def test_reading_the_store_loads_no_keras(tmp_path: Path) -> None:
    """In a fresh process: which version serves, its card, and all names."""
    question = (
        "import sys; from pathlib import Path; from worker.models.store import ModelStore\n"
        f"store = ModelStore(Path({str(tmp_path)!r}))\n"
        "print(store.promoted().name, store.names(), store.prunable(1), 'keras' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "builtin ['builtin'] [] False" == answer.stdout.strip()


def test_the_real_built_in_loads(some_lightness: np.ndarray) -> None:
    """NEEDS worker/weights/builtin: it loads, has at most 20 MB, and a card of its origin."""
    version = models.built_in()
    generator = load_generator(version)
    scores = np.asarray(keras.ops.convert_to_numpy(generator(some_lightness, training=False)))

    assert (2, 16, 16, len(color_grid())) == scores.shape
    assert np.isfinite(scores).all()
    assert (version.folder / GENERATOR_FILE).stat().st_size <= 20e6
    assert {"created", "steps", "scores", "photographs", "sha256"} <= set(version.card)


def test_the_real_built_in_is_the_start(tmp_path: Path) -> None:
    """NEEDS worker/weights/builtin: a fresh store offers it as its only version, and it serves."""
    store = ModelStore(tmp_path / "never made")

    assert ["builtin"] == [version.name for version in store.versions()]
    assert "builtin" == store.get("promoted").name
