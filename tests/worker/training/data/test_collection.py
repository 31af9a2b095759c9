"""Who is in, who is out and why, and nothing done twice."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene, save, sepia
from worker import scan
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data import collection as module
from worker.training.data.cache import SQUARE_BYTES
from worker.training.data.collection import Collection, prepare
from worker.training.data.files import find_photos

READ = ReadSettings()
PHOTOS = 12


def cast(gray: np.ndarray) -> np.ndarray:
    """Lay one bluish cast over a gray picture."""
    low = 60 + 0.5 * gray[..., None]
    return np.rint(low + np.array([-12.0, 0.0, 18.0])).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of color photographs and of what is unfit for training; to be read only."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(PHOTOS):
        home = folder / "deep" / "er" if number % 2 else folder
        save(home / f"{number:02d}.png", color_scene(110, 130 + number, number))
    shutil.copy(folder / "00.png", folder / "the same.png")
    save(folder / "near.jpg", color_scene(110, 132, 2), quality=60)
    save(folder / "gray.png", gray_scene(120, 120))
    save(folder / "gray rgb.png", as_rgb(gray_scene(120, 121)))
    save(folder / "sepia.jpg", sepia(gray_scene(120, 122)))
    save(folder / "tint.png", cast(gray_scene(120, 123)))
    save(folder / "tiny.png", color_scene(40, 200))
    (folder / "text.jpg").write_text("no photograph")
    (folder / "empty.png").write_bytes(b"")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no photograph")
    (folder / "licenses.tsv").write_text(
        "path\tlicense\tsource\n00.png\tCC0\tarchive\ndeep/er/01.png\tCC0\tclub\ngray.png\tMIT\tx\n"
    )
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for the cache of this module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def collection(folder: Path, cache: Path) -> Collection:
    """Prepare the folder, half of it held back."""
    return prepare([folder], cache, 0.5, READ)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the name of each photograph that is decoded."""
    names: list[str] = []
    real: Callable[..., np.ndarray] = scan.read_color

    def noted(path: Path, settings: ReadSettings) -> np.ndarray:
        names.append(path.name)
        return real(path, settings)

    monkeypatch.setattr(scan, "read_color", noted)
    return names


def held_back(collection: Collection) -> set[bytes]:
    """Return the validation photos by content."""
    return {collection.photos[index].tobytes() for index in collection.validation}


def manifest(collection: Collection) -> dict[str, list[dict[str, str]]]:
    """Read the manifest."""
    content: dict[str, list[dict[str, str]]] = json.loads(collection.manifest.read_text())
    return content


def test_every_fit_photo_is_there_once(collection: Collection) -> None:
    """Photos of all sub-folders are squares of one size, on one side each."""
    rows = [*collection.training, *collection.validation]

    assert (256, 256, 3) == collection.photos.shape[1:]
    assert PHOTOS == len(rows) == len(set(rows))
    assert PHOTOS == len({collection.photos[row].tobytes() for row in rows})


def test_the_unfit_are_counted_with_their_reason(collection: Collection) -> None:
    """Gray, toned, tinted, small, unreadable and double files are left out, and counted."""
    expected = {
        "gray": 2,
        "unreadable": 2,
        "one tone": 1,
        "tint only": 1,
        "too small": 1,
        "same content": 1,
        "near-duplicate": 1,
    }

    assert expected == collection.left_out


def test_the_manifest_names_each_file(collection: Collection, folder: Path) -> None:
    """Every file found is in it once: kept with its facts, or left out with its reason."""
    content = manifest(collection)
    out = {Path(one["path"]).name: one for one in content["left_out"]}
    kept = {one["path"]: one for one in content["photographs"]}
    first = kept[str(folder / "00.png")]

    assert sorted(map(str, find_photos([folder]))) == sorted(
        [*kept, *(one["path"] for one in content["left_out"])]
    )
    assert (130, 110, "CC0", "archive") == tuple(
        first[key] for key in ("width", "height", "license", "source")
    )
    assert {"training": len(collection.training), "validation": len(collection.validation)} == (
        Counter(one["side"] for one in kept.values())
    )
    assert "one tone" == out["sepia.jpg"]["reason"]
    assert "0 bytes" in out["empty.png"]["why"]
    assert str(folder / "00.png") in out["the same.png"]["why"]
    assert any(name in out.get("near.jpg", out.get("02.png", {}))["why"] for name in ("02", "near"))


def test_licenses_and_sources_are_counted(collection: Collection) -> None:
    """Of the photographs that are kept, the licenses that tables beside them name."""
    assert {"not stated": PHOTOS - 2, "CC0": 2} == collection.licenses
    assert {"not stated": PHOTOS - 2, "archive": 1, "club": 1} == collection.sources


def test_photos_do_not_fill_the_memory(collection: Collection) -> None:
    """The cache is memory-mapped, read only."""
    base: object = collection.photos
    while not isinstance(base, np.memmap):
        assert isinstance(base, np.ndarray)
        base = base.base

    assert not base.flags.writeable


def test_the_cache_is_used_again(
    folder: Path, cache: Path, collection: Collection, decoded: list[str]
) -> None:
    """The second time nothing that can be read is decoded, whatever the share of validation."""
    again = prepare([folder], cache, 0.25, READ)

    assert {"empty.png", "text.jpg"} == set(decoded)
    assert collection.digest == again.digest
    assert np.array_equal(collection.photos, again.photos)
    assert set(again.validation) <= set(collection.validation)


def test_only_new_photos_are_decoded(tmp_path: Path, decoded: list[str]) -> None:
    """A collection that grows, or shares photos with another, costs what is new in it."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    for number in range(4):
        save(tmp_path / "first" / f"{number}.png", color_scene(100, 100, number))
    prepare([tmp_path / "first"], tmp_path / "cache", 0.0, READ)
    decoded.clear()
    shutil.copy(tmp_path / "first" / "0.png", tmp_path / "second" / "copy.png")
    save(tmp_path / "second" / "new.png", color_scene(100, 100, 9))
    second = prepare([tmp_path / "second"], tmp_path / "cache", 0.0, READ)
    both = prepare([tmp_path / "first", tmp_path / "second"], tmp_path / "cache", 0.0, READ)

    assert ["new.png"] == decoded
    assert (2, 5) == (len(second.training), len(both.training))
    assert set(second.training) < set(both.training)


def test_a_moved_collection_is_the_same(folder: Path, tmp_path: Path) -> None:
    """Digests say what was learned from, not where it lay or in which cache."""
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    here = prepare([folder], tmp_path / "one", 0.5, READ)
    there = prepare([moved], tmp_path / "two", 0.5, READ)

    assert (here.digest, here.manifest_digest) == (there.digest, there.manifest_digest)
    assert np.array_equal(here.photos[here.training], there.photos[there.training])
    other = prepare([moved / "deep"], tmp_path / "two", 0.5, READ)
    assert here.digest != other.digest
    assert here.manifest_digest != other.manifest_digest


def test_what_was_decoded_before_a_fault_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    """A preparation that met a failing disk goes on where it was, and is whole in the end."""
    read_color: Callable[..., np.ndarray] = scan.read_color

    def fail_late(path: Path, settings: ReadSettings) -> np.ndarray:
        if path.name == "06.png":
            raise OSError(5, "Input/output error")
        return read_color(path, settings)

    monkeypatch.setattr(module, "COMMIT_EVERY", 2)
    with monkeypatch.context() as failing:
        failing.setattr(scan, "read_color", fail_late)
        with pytest.raises(OSError, match="Input/output"):
            prepare([folder], tmp_path, 0.5, READ)
    before = set(decoded)
    decoded.clear()
    whole = prepare([folder], tmp_path, 0.5, READ)

    assert {"00.png", "02.png"} <= before - set(decoded)
    assert PHOTOS == len(whole.training) + len(whole.validation)
    assert min(int(whole.photos[row].max()) for row in whole.training) > 0


def test_a_full_disk_is_said(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the cache finds no room, the error names its folder and what it needs."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worker.training.data.cache._write", full)
    with pytest.raises(OSError, match="No space left on device: decoded photographs") as refused:
        prepare([folder], tmp_path, 0.5, READ)

    assert str(tmp_path) == refused.value.filename


def test_a_photo_stays_on_its_side(folder: Path, tmp_path: Path, collection: Collection) -> None:
    """When photos are added or moved, of the old ones the same are held back as before."""
    larger = tmp_path / "larger"
    shutil.copytree(folder, larger / "moved")
    for number in range(8):
        save(larger / f"new{number}.png", color_scene(100, 100, 100 + number))
    grown = prepare([larger], tmp_path / "cache", 0.5, READ)
    old = {collection.photos[i].tobytes() for i in (*collection.training, *collection.validation)}

    assert PHOTOS + 8 == len(grown.training) + len(grown.validation)
    assert held_back(collection) == held_back(grown) & old


def test_copies_of_held_back_photos_are_not_learned_from(
    collection: Collection, tmp_path: Path
) -> None:
    """Larger copies of validation photos, added later, never come to the side that is learned."""
    kept = manifest(collection)["photographs"]
    originals = [Path(one["path"]) for one in kept]
    new = tmp_path / "new"
    new.mkdir()
    for path in originals:
        rgb = scan.read_color(path, READ)
        save(new / f"{path.stem}.jpg", rgb.repeat(2, axis=0).repeat(2, axis=1), quality=70)
    grown = prepare([*{path.parent for path in originals}, new], tmp_path / "cache", 0.5, READ)
    learned = {
        Path(one["path"]).stem
        for one in manifest(grown)["photographs"]
        if one["side"] == "training"
    }

    assert not {Path(one["path"]).stem for one in kept if one["side"] == "validation"} & learned
    assert learned


def test_progress_is_told(folder: Path, tmp_path: Path) -> None:
    """Preparing tells of each file, up to all of them."""
    told: list[tuple[int, int]] = []
    prepare([folder], tmp_path, 0.5, READ, lambda done, everything: told.append((done, everything)))
    count = len(find_photos([folder]))

    assert [(number, count) for number in range(1, count + 1)] == told


def test_nothing_fit_is_a_scan_error(tmp_path: Path) -> None:
    """Without one photo to learn from it is said why, also when asked again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for _ in range(2):
        with pytest.raises(ScanError, match=r"no photograph in .* is fit .*: no photograph found"):
            prepare([photos], tmp_path / "cache", 0.1, READ)
    save(photos / "gray.png", gray_scene(120, 120))
    for _ in range(2):
        with pytest.raises(ScanError, match=r"no photograph in .* is fit .*: 1 gray"):
            prepare([photos], tmp_path / "cache", 0.1, READ)


def test_holding_everything_back_is_a_scan_error(folder: Path, cache: Path) -> None:
    """Where validation took every photo, nothing is left to learn from, and that is said."""
    with pytest.raises(ScanError, match="all 12 photographs were held back"):
        prepare([folder], cache, 1.0, READ)


def test_a_file_that_goes_away_is_only_left_out(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photograph deleted while the others are read, or a loose link, stops nothing."""
    monkeypatch.setattr(
        module, "find_photos", lambda folders: [*find_photos(folders), folder / "gone.jpg"]
    )
    collection = prepare([folder], tmp_path, 0.5, READ)
    (gone,) = [one for one in manifest(collection)["left_out"] if "gone" in one["path"]]

    assert ("unreadable", "No such file or directory") == (gone["reason"], gone["why"])


def test_folders_within_folders_count_once(folder: Path, tmp_path: Path) -> None:
    """Giving a folder and one inside it is giving the outer one, however they are written."""
    inner = Path(os.path.relpath(folder / "deep"))
    both = prepare([folder, inner], tmp_path, 0.5, READ)

    assert PHOTOS == len(both.training) + len(both.validation)
    assert 1 == both.left_out["same content"]


def test_hidden_and_foreign_files_are_not_looked_at(folder: Path) -> None:
    """Only names of image kinds that are not hidden count, in a fixed order."""
    found = find_photos([folder])

    assert sorted(found) == found
    assert not {".hidden.png", "notes.txt"} & {path.name for path in found}
    assert {"gray.png", "text.jpg", "11.png"} <= {path.name for path in found}


def test_the_cache_holds_what_is_fit_and_no_more(tmp_path: Path) -> None:
    """The disk that a collection takes is one square for each fit photograph."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        save(photos / f"{number}.png", color_scene(100, 100, number))
    save(photos / "gray.png", gray_scene(120, 120))
    prepare([photos], tmp_path / "cache", 0.0, READ)
    (squares,) = (tmp_path / "cache").glob("squares-*")

    assert 3 * SQUARE_BYTES == squares.stat().st_size
