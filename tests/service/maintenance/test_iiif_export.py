"""Tests for service.maintenance.iiif_export: what is exported, kept, removed and left out."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
import tifffile
from PIL import Image

from service.config.loader import Config
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance import iiif_export
from service.maintenance.iiif_export import MARKER, Exported, Request, checked_url, export
from service.maintenance.iiif_files import WIDTHS
from tests.support import delivered_results
from tests.support.iiif_files import assembled, present, promised, read_info
from tests.support.synthetic_photos import Array, color_scene, gray_scene
from worker.errors import DeviceError

URL = "https://archive.example/a%20b/iiif"
PREZI3 = Path(__file__).parents[3] / ".ci/iiif/site"  # .ci/run fills it
VALIDATE = """
import json, sys
from iiif_prezi3 import skeleton
for line in sys.stdin:
    said = json.loads(line)
    getattr(skeleton, said["type"]).model_validate(said)
    print(said["type"])
"""
EXTRA = {f"full/{width},/0/default.jpg" for width in WIDTHS}


def tiff(*pages: Array) -> bytes:
    """Return a TIFF of these pages."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            kind = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=kind, metadata=None)
    return file.getvalue()


def color(config: Config, name: str, seed: int = 0, pages: int = 1, **options: Any) -> Job:
    """Deliver a photograph of its own content."""
    scans = [gray_scene(300, 400, seed=seed + page) for page in range(pages)]
    results = [color_scene(300, 400, seed=seed + page) for page in range(pages)]
    scan, result = tiff(*scans), tiff(*results)
    return delivered_results.color(config, name, scan=scan, result=result, pages=pages, **options)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a service and its ledger."""
    return delivered_results.place_with_ledger(tmp_path / "service")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Name the folder of the export."""
    return tmp_path / "web" / "iiif"


def run(config: Config, out: Path, **request: Any) -> Exported:
    """Export everything, or what is asked for."""
    return export(config, Request(out, request.pop("base_url", URL), **request), lambda *_: None)


def at(out: Path, url: str) -> Path:
    """Return the file that a web server would send for a URL below the base."""
    assert url.startswith(f"{URL}/"), url
    inside = os.fsdecode(unquote_to_bytes(url.removeprefix(f"{URL}/")))
    return out / inside


def read(out: Path, url: str = f"{URL}/collection.json") -> dict[str, Any]:
    """Read JSON by its URL."""
    said: dict[str, Any] = json.loads(at(out, url).read_bytes())
    assert url == said["id"]
    return said


def manifests(out: Path) -> dict[str, dict[str, Any]]:
    """Read all manifests, by the path of their folder in the export."""
    items = read(out)["items"]
    return {
        str(at(out, item["id"]).parent.relative_to(out / "folders")): read(out, item["id"])
        for item in items
    }


def within(said: Any, kind: str) -> Iterator[dict[str, Any]]:
    """Yield all objects of a type in JSON, however deep."""
    for value in said.values() if isinstance(said, dict) else said:
        if isinstance(value, dict | list):
            yield from within(value, kind)
    if isinstance(said, dict) and said.get("type") == kind:
        yield said


def check_whole(out: Path) -> None:
    """Check that all links lead to files, all ids are unique URLs, and no other file is there."""
    linked = {out / MARKER, out / "collection.json"}
    for made in manifests(out).values():
        linked.add(at(out, made["id"]))
        for image in within(made, "Image"):
            path = at(out, image["id"])
            linked.add(path)
            if image["format"] == "image/jpeg":
                with Image.open(path) as shown:
                    assert (image["width"], image["height"]) == shown.size
        linked |= {at(out, one["id"]) for one in within(made, "Dataset")}
        for service in within(made, "ImageService3"):
            folder = at(out, service["id"])
            info = read_info(folder)
            assert service["id"] == info["id"]
            assert promised(info) | EXTRA == present(folder)
            linked |= {folder / name for name in (*present(folder), "info.json")}
        canvases = [canvas["id"] for canvas in within(made, "Canvas")]
        assert len(set(canvases)) == len(canvases)
    assert {path for path in out.rglob("*") if path.is_file()} == linked


def snapshot(out: Path) -> dict[str, tuple[str, int]]:
    """Return the digest and inode of each file."""
    return {
        str(path.relative_to(out)): (
            hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_ino
        )
        for path in out.rglob("*")
        if path.is_file()
    }  # fmt: skip


def test_each_folder_is_a_manifest_of_choices(config: Config, out: Path) -> None:
    """Scan first, then the coloring, each with tiles; the label and statement name the machine."""
    color(config, "album/a.tif")
    color(config, "album/b.tif", seed=5)
    color(config, "c.tif", seed=9)

    done = run(config, out)

    assert (3, 2, 6, 0) == (done.photographs, done.manifests, done.made, done.kept)
    assert [] == done.failed
    assert f"{URL}/collection.json" == done.collection
    found = manifests(out)
    assert {"album", "."} == found.keys()
    assert {"none": ["album"]} == found["album"]["label"]
    assert "machine's guess" in found["album"]["requiredStatement"]["value"]["en"][0]
    assert "机器" in found["album"]["requiredStatement"]["value"]["zh"][0]
    first, second = found["album"]["items"]
    assert [{"none": ["a.tif"]}, {"none": ["b.tif"]}] == [first["label"], second["label"]]
    assert (400, 300) == (first["width"], first["height"])
    (annotation,) = first["items"][0]["items"]
    assert first["id"] == annotation["target"]
    assert "painting" == annotation["motivation"]
    assert "Choice" == annotation["body"]["type"]
    scan, colored = annotation["body"]["items"]
    assert {"en": ["Scan"], "zh": ["扫描件"]} == scan["label"]
    assert ["Colored by a machine (photochrom, model 7)"] == colored["label"]["en"]
    shown = assembled(at(out, scan["service"][0]["id"]))
    assert abs(shown.astype(int) - gray_scene(300, 400)).mean() < 5
    assert 3 == assembled(at(out, colored["service"][0]["id"])).ndim
    assert first["thumbnail"][0]["service"] == scan["service"]
    check_whole(out)


def test_the_order_can_be_turned_round(config: Config, out: Path) -> None:
    """With `first` colored, who cannot choose sees the coloring."""
    color(config, "a.tif")
    run(config, out, first="colored")

    (canvas,) = manifests(out)["."]["items"]

    colored, scan = canvas["items"][0]["items"][0]["body"]["items"]
    assert ["Scan"] == scan["label"]["en"]
    assert canvas["thumbnail"][0]["service"] == colored["service"]


def test_both_may_be_canvases(config: Config, out: Path) -> None:
    """For viewers without choices, scan and coloring follow each other, and labels tell them."""
    color(config, "a.tif", pages=2)
    run(config, out, form="canvases")

    canvases = manifests(out)["."]["items"]

    assert [
        "a.tif, page 1: Scan",
        "a.tif, page 1: Colored by a machine (photochrom, model 7)",
        "a.tif, page 2: Scan",
        "a.tif, page 2: Colored by a machine (photochrom, model 7)",
    ] == [canvas["label"]["en"][0] for canvas in canvases]
    assert {"Image"} == {canvas["items"][0]["items"][0]["body"]["type"] for canvas in canvases}
    check_whole(out)


@pytest.mark.parametrize("sidecar", [True, False])
def test_each_page_is_a_canvas(config: Config, out: Path, *, sidecar: bool) -> None:
    """Also where no sidecar says how many pages there are."""
    color(config, "a.tif", pages=3, sidecar=sidecar)

    done = run(config, out)

    canvases = manifests(out)["."]["items"]
    assert [f"a.tif, page {number}" for number in (1, 2, 3)] == [
        canvas["label"]["en"][0] for canvas in canvases
    ]
    assert sidecar == all("seeAlso" in canvas for canvas in canvases)
    assert 6 == done.made
    assert 6 == run(config, out).kept
    check_whole(out)


def test_sidecars_and_files_are_linked(config: Config, out: Path) -> None:
    """The sidecar always; scan and result, byte for byte, where that is asked for."""
    job = color(config, "album/a.tif")
    run(config, out)
    (canvas,) = manifests(out)["album"]["items"]
    assert "rendering" not in canvas
    (link,) = canvas["seeAlso"]
    sidecar = config.outbox / "album/a.tif.json"
    assert sidecar.read_bytes() == at(out, link["id"]).read_bytes()

    run(config, out, with_files=True)

    (canvas,) = manifests(out)["album"]["items"]
    scan, result = (at(out, link["id"]) for link in canvas["rendering"])
    assert {"image/tiff"} == {link["format"] for link in canvas["rendering"]}
    assert job.digest == hashlib.sha256(scan.read_bytes()).hexdigest()
    assert job.output_digest == hashlib.sha256(result.read_bytes()).hexdigest()
    check_whole(out)


NAMES = ["a b/x y.tif", "50%25#1?/100%.tif", os.fsdecode(b"\xff\xe9/\xfe.tif"), "相册/照片.tif",
         "A B/x y.tif", "x" * 200 + "/" + "y" * 250 + ".tif", "a+b&c=d;e/'\"<>.tif"]  # fmt: skip


def test_names_of_any_letters_become_urls(config: Config, out: Path) -> None:
    """Ids are percent-encoded ASCII; files have names that every system can hold."""
    for number, name in enumerate(NAMES):
        color(config, name, seed=number)

    done = run(config, out, with_files=True)

    assert (len(NAMES), len(NAMES)) == (done.photographs, done.manifests)
    for made in manifests(out).values():
        for kind in ("Manifest", "Canvas", "AnnotationPage", "Annotation", "Image", "Dataset"):
            for one in within(made, kind):
                parts = urlsplit(one["id"])
                assert ("https", "archive.example") == (parts.scheme, parts.netloc)
                assert one["id"].isascii()
                assert not set(one["id"]) & set(' "<>\\^`{|}')
                assert not parts.query
                assert not parts.fragment
    assert f"{URL}/folders/50%2525%231%3F/manifest.json" in {
        made["id"] for made in manifests(out).values()
    }
    names = [str(path.relative_to(out)) for path in out.rglob("*")]
    assert all(name.isprintable() for name in names)
    assert len({name.casefold() for name in names if "folders" in name}) == len(
        {name for name in names if "folders" in name}
    )
    check_whole(out)


def test_what_did_not_change_is_kept(config: Config, out: Path) -> None:
    """A second export makes nothing; only a recolored photograph is made again."""
    color(config, "a.tif")
    again = color(config, "b.tif", seed=5)
    run(config, out, with_files=True)
    before = snapshot(out)

    same = run(config, out, with_files=True)

    assert (0, 4, 0) == (same.made, same.kept, same.removed)
    assert before == snapshot(out)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([again.id], 2.0)
        (claimed,) = ledger.claim(1, 3.0, in_flight=0)
        result = tiff(color_scene(300, 400, seed=77))
        delivered_results.finish(config, ledger, claimed, result=result)
    newer = run(config, out, with_files=True)
    assert (1, 3, 3) == (newer.made, newer.kept, newer.removed)  # a picture, sidecar and file
    check_whole(out)


def test_results_that_were_carried_away_stay_exported(config: Config, out: Path) -> None:
    """Neither scan nor result nor sidecar need be there any more."""
    job = color(config, "a.tif")
    run(config, out)
    for path in (config.outbox / "a.tif", config.outbox / "a.tif.json",
                 config.originals.folder / job.path):  # fmt: skip
        path.unlink()

    done = run(config, out)

    assert (1, 0, 2, []) == (done.photographs, done.made, done.kept, done.failed)
    check_whole(out)


def test_another_base_url_makes_no_picture_again(config: Config, out: Path) -> None:
    """Only what names the URL is written anew."""
    color(config, "a.tif")
    run(config, out, base_url="http://old.example")

    done = run(config, out)

    assert (0, 2) == (done.made, done.kept)
    check_whole(out)


def test_an_interrupted_export_goes_on(
    config: Config, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made until then is kept, leftovers go, and viewers met only what was before."""
    color(config, "a.tif")
    run(config, out)
    before = (out / "collection.json").read_bytes()
    color(config, "b.tif", seed=5)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(iiif_export, "_write_manifests", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(config, out)
    assert before == (out / "collection.json").read_bytes()
    leftover = next((out / "images").iterdir()) / ".photochrom-1-a.part"
    leftover.mkdir()
    monkeypatch.undo()

    done = run(config, out)

    assert (0, 4, 1) == (done.made, done.kept, done.removed)
    check_whole(out)


def decide(config: Config, job: Job, decision: Decision) -> None:
    """Decide on a photograph."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.decide([job.id], decision, who="Ada", now=5.0)


def test_what_people_rejected_is_left_out(config: Config, out: Path) -> None:
    """And removed if it was exported before; `approved` leaves out what is open too."""
    approved = color(config, "a.tif")
    rejected = color(config, "b.tif", seed=5)
    color(config, "c.tif", seed=9)
    assert 3 == run(config, out).photographs
    decide(config, approved, Decision.APPROVED)
    decide(config, rejected, Decision.REJECTED)

    done = run(config, out)

    assert {"rejected by a person": 1} == done.left_out
    assert (2, 3) == (done.photographs, done.removed)
    check_whole(out)
    only = run(config, out, approved=True)
    assert {"rejected by a person": 1, "not approved": 1} == only.left_out
    (canvas,) = manifests(out)["."]["items"]
    assert ["Approved by a person"] in [one["value"].get("en") for one in canvas["metadata"]]


def test_only_a_folder_may_be_exported(config: Config, out: Path) -> None:
    """With all below it, and nothing else."""
    for number, name in enumerate(["a/x.tif", "a/b/y.tif", "ab/z.tif"]):
        color(config, name, seed=number)

    done = run(config, out, within=PurePosixPath("a"))

    assert 2 == done.photographs
    assert {"a", "a/b"} == manifests(out).keys()


def test_what_cannot_be_exported_is_named(config: Config, out: Path) -> None:
    """A changed result and a scan that is gone keep nothing else back."""
    color(config, "a.tif")
    changed = color(config, "b.tif", seed=5)
    gone = color(config, "c.tif", seed=9)
    (config.outbox / changed.output).write_bytes(b"other")
    (config.originals.folder / gone.path).unlink()

    done = run(config, out)

    assert 1 == done.photographs
    (one, why), (other, reason) = done.failed
    assert ("b.tif", "c.tif") == (one, other)
    assert "SHA-256 differs" in why
    assert "the original is gone" in reason
    check_whole(out)


def test_folders_of_others_are_refused(config: Config, tmp_path: Path) -> None:
    """Neither photochrom's own folders nor any with other contents are touched."""
    color(config, "a.tif")
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_text("x")

    with pytest.raises(DeviceError, match="not empty"):
        run(config, other)
    with pytest.raises(DeviceError, match="inside the folder `outbox`"):
        run(config, config.outbox / "iiif")
    assert ["x"] == [path.name for path in other.iterdir()]


def test_two_exports_never_mix(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is refused while the first is at work."""
    color(config, "a.tif")
    found: list[str] = []
    write = iiif_export._write_manifests

    def meanwhile(*arguments: Any) -> None:
        with pytest.raises(DeviceError, match="another"):
            run(config, out)
        found.append("refused")
        write(*arguments)

    monkeypatch.setattr(iiif_export, "_write_manifests", meanwhile)
    run(config, out)

    assert ["refused"] == found


@pytest.mark.parametrize(
    "url", ["", "iiif", "ftp://x/", "http://", "https://x/?a=b", "https://x/#a", "https://x/a b",
            "https://x/é", "https://x/\n"],
)  # fmt: skip
def test_a_base_url_must_be_one(url: str) -> None:
    """Anything else would make ids that no viewer can use."""
    with pytest.raises(ValueError, match="it must"):
        checked_url(url)
    assert "http://localhost:8000/a" == checked_url("http://localhost:8000/a/")


@pytest.fixture(scope="module")
def check_schema() -> Callable[[Path], list[str]]:
    """Return what validates by IIIF's own library, whose models are made of the official schema."""
    if not (PREZI3 / "iiif_prezi3").is_dir():
        pytest.skip("iiif-prezi3 is not installed (.ci/run does)")

    def check(out: Path) -> list[str]:
        said = [json.dumps(one) for one in (read(out), *manifests(out).values())]
        done = subprocess.run(
            [sys.executable, "-c", VALIDATE],
            input="\n".join(said),
            env={**os.environ, "PYTHONPATH": str(PREZI3)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout.split()

    return check


@pytest.mark.parametrize("form", ["choice", "canvases"])
def test_all_is_valid_by_the_official_schema(
    config: Config, out: Path, form: str, check_schema: Callable[[Path], list[str]]
) -> None:
    """Collection and manifests satisfy the models of iiif-prezi3."""
    color(config, "a/x.tif", pages=2)
    color(config, "y.tif", seed=5)
    run(config, out, form=form, with_files=True)

    assert ["Collection", "Manifest", "Manifest"] == check_schema(out)
