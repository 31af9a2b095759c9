"""Promises of worker.viewing.live_preview, with a small generator."""

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import gray_scene, save
from worker.color import cielab
from worker.inference.colorizer import Colorizer
from worker.inference.device import Device
from worker.inference.wishes import ab_of
from worker.models import store
from worker.settings import ColorSettings
from worker.viewing.live_preview import MOST_PAGES, LivePreview, serve


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory: pytest.TempPathFactory) -> Colorizer:
    """Load a small generator."""
    folder = tmp_path_factory.mktemp("models") / "0001"
    store.save_version(tiny_generator(2), {}, folder)
    version = store._version("1", folder)
    return Colorizer(version, ColorSettings(render_size=64, batch_size=1), Device("CPU", 1, 1))


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """Make a view of a scan."""
    path = tmp_path / "default.jpg"
    path.write_bytes(cv2.imencode(".jpg", gray_scene(120, 160))[1].tobytes())
    return path


def asked(colorizer: Colorizer, view: Path, what: str, **rest: Any) -> tuple[Any, bytes]:
    """Ask one question."""
    request = {"do": what, "view": str(view), "key": "a", **rest}
    said, picture = LivePreview(colorizer).answer(request)
    assert said.get("bytes") == len(picture)
    return said, picture


def pixels(coded: bytes) -> np.ndarray:
    """Decode a picture, with its opacity."""
    return np.asarray(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED))


def test_wishes_are_shown_at_the_size_of_the_view(colorizer: Colorizer, view: Path) -> None:
    """A JPEG in color; a known color is seen at its place."""
    point = {"x": 0.5, "y": 0.5, "color": "#7a1f2b", "radius": 0.3, "page": 0, "who": "Ada"}
    usual = pixels(asked(colorizer, view, "preview", wishes={})[1])
    gray = pixels(asked(colorizer, view, "preview", wishes={"vividness": 0})[1])
    known = pixels(asked(colorizer, view, "preview", wishes={"points": [point]})[1])
    there = cielab.lab_of_rgb(np.ascontiguousarray(known[58:62, 78:82, ::-1])).mean(axis=(0, 1))

    assert (120, 160, 3) == usual.shape == known.shape
    assert np.ptp(usual.astype(int), axis=2).max() > 30
    assert np.ptp(gray.astype(int), axis=2).max() < 4
    assert np.linalg.norm(there[1:] - ab_of("#7a1f2b")) < 6  # JPEG halves the chroma's size


def test_swatches_are_colors_with_probabilities(colorizer: Colorizer, view: Path) -> None:
    """At the lightness of the place, likeliest first."""
    found = asked(colorizer, view, "swatches", x=0.5, y=0.5)[0]["swatches"]
    probabilities = [one["probability"] for one in found]

    assert found
    assert sorted(probabilities, reverse=True) == probabilities
    assert sum(probabilities) <= 1
    assert all(one["color"].startswith("#") and len(one["color"]) == 7 for one in found)


def test_variants_are_listed_from_the_likeliest(colorizer: Colorizer, view: Path) -> None:
    """Each that is listed is another picture."""
    found = asked(colorizer, view, "variants")[0]["variants"]
    pictures = {
        asked(colorizer, view, "preview", wishes={"variant": number})[1]
        for number in range(len(found))
    }

    assert 1 == found[0]
    assert sorted(found[1:], reverse=True) == found[1:]
    assert len(found) == len(pictures)


def test_a_reference_is_read_and_followed(colorizer: Colorizer, view: Path, tmp_path: Path) -> None:
    """Its colors come from its view; the page is then shown in colors nearer to them."""
    green = np.full((90, 120, 3), (40, 140, 50), np.uint8)
    path = save(tmp_path / "green.png", green)
    said = LivePreview(colorizer).answer({"do": "colors", "view": str(path)}).said
    reference = {"name": "green", "sha256": "0" * 64, "colors": said["colors"]}
    usual = pixels(asked(colorizer, view, "preview", wishes={})[1])
    other = pixels(asked(colorizer, view, "preview", wishes={"reference": reference})[1])

    assert [1000] == [share for *_ab, share in said["colors"]]
    assert 1 < np.abs(other.astype(int) - usual).max()


def test_doubt_is_a_veil(colorizer: Colorizer, view: Path) -> None:
    """As wide and high as the page, of one color, and more or less opaque."""
    said, coded = asked(colorizer, view, "doubt")
    veil = pixels(coded)

    assert (120, 160, 4) == veil.shape
    assert 1 == len(np.unique(veil[..., :3].reshape(-1, 3), axis=0))
    assert 0 <= veil[..., 3].min() <= veil[..., 3].max() < 200
    assert 0 < said["confidence"] < 1


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"do": "swatches", "x": 2, "y": 0}, "not on the page"),
        ({"do": "preview", "wishes": {"vividness": 101}}, "vividness must be a number"),
        ({"do": "preview", "wishes": {}, "view": "/nowhere.jpg", "key": "b"}, "No such file"),
        ({"do": "colors"}, "has no color"),
    ],
)
def test_what_cannot_be_shown_is_told(
    colorizer: Colorizer, view: Path, request_: dict[str, Any], words: str
) -> None:
    """In words, and the next question is answered."""
    preview = LivePreview(colorizer)
    said, picture = preview.answer({"view": str(view), "key": "a", **request_})

    assert words in said["error"]
    assert b"" == picture
    assert "error" not in preview.answer({"do": "variants", "view": str(view), "key": "a"}).said


def test_a_page_is_looked_at_once(
    colorizer: Colorizer, view: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last few are kept, by their keys; the others go."""
    thought = []
    think = colorizer.think
    monkeypatch.setattr(colorizer, "think", lambda page: thought.append(1) or think(page))
    preview = LivePreview(colorizer)
    for key in ["a", "a", *map(str, range(MOST_PAGES - 1)), "a", "new", "a", "0"]:
        preview.answer({"do": "swatches", "x": 0.5, "y": 0.5, "view": str(view), "key": key})

    assert MOST_PAGES + 2 == len(thought)


def test_answers_go_over_a_pipe(colorizer: Colorizer, view: Path) -> None:
    """A line each, and the picture behind it."""
    lines = [
        {"do": "preview", "view": str(view), "key": "a", "wishes": {}},
        {"do": "variants", "view": str(view), "key": "a"},
    ]
    answers = io.BytesIO()
    requests = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    serve(LivePreview(colorizer), requests, answers)
    answers.seek(0)
    first = json.loads(answers.readline())

    assert (120, 160, 3) == pixels(answers.read(first["bytes"])).shape
    assert 1 == json.loads(answers.readline())["variants"][0]
    assert b"" == answers.read()
