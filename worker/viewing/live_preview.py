"""Shows what wishes would make of a photograph; `worker.viewing.live_preview_process` runs it.

It answers requests, a line of JSON each. An answer is a line of JSON too, and where it says
`bytes`, so many bytes of a picture follow. It looks only at views of scans (JPEG, at most 1600
pixels) that photochrom made itself, keeps what the generator thought of the last few, and ends with
its input. A change at that size takes 0.1 s.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np

from worker import scan
from worker.color import cielab
from worker.color.cielab import Floats
from worker.color.palettes import Variant
from worker.errors import PhotochromError
from worker.inference.colorizer import Colorizer
from worker.inference.wishes import (
    Thought,
    color_of,
    expected_errors,
    find_variants,
    grant,
    swatches_at,
)
from worker.models.decoding import DOUBTFUL
from worker.reference import colors_of
from worker.scan import Page
from worker.settings import ReadSettings, wishes_of

MOST_PAGES = 6  # kept; each takes 12 MB
QUALITY = 88  # of JPEG
OVERLAY_SIDE = 512  # pixels of the long side of an overlay; doubt has no sharp edges
VEIL = (255, 64, 200)  # RGB; no photograph is magenta
MOST_VEILED = 0.7  # opacity where all is lost
SURE, LOST = 0.4, 0.8  # doubt (1 - confidence of a place) that is not veiled, and that is fully


class Answer(NamedTuple):
    """What is answered: words as JSON, and a picture's bytes, if it is one."""

    said: dict[str, Any]
    picture: bytes = b""


class Seen:
    """A page, and what the generator thinks of it.

    Attributes:
        page: the view.
        thought: of it.
        confidence: in its colors.
    """

    def __init__(self, page: Page, thought: Thought, confidence: float) -> None:
        """Keep them."""
        self.page, self.thought, self.confidence = page, thought, confidence

    @cached_property
    def variants(self) -> list[Variant]:
        """Its other colorings."""
        return find_variants(self.thought)


class LivePreview:
    """Answers requests about pages.

    Args:
        colorizer: the loaded generator.
    """

    def __init__(self, colorizer: Colorizer) -> None:
        """Nothing has been looked at yet."""
        self._colorizer = colorizer
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Do what is asked for.

        Args:
            request: `do` with what that needs, `view` (path) and `key` of a page: `look`, so that
                the others are quick; `preview` with `wishes`; `swatches` with `x` and `y`;
                `variants`; `doubt`; or without a key `colors`, of the view of a result.

        Returns:
            With `error`, in words, if it cannot be done.
        """
        began = time.monotonic()
        try:
            if request["do"] == "colors":
                colors = colors_of(Path(str(request["view"])), ReadSettings())
                said, picture = Answer({"colors": colors})
            else:
                seen = self._look_at(str(request["view"]), str(request["key"]))
                said, picture = DOES[str(request["do"])](seen, request)
        except (PhotochromError, OSError, ValueError) as error:
            return Answer({"error": str(error) or repr(error)})
        took = round(1000 * (time.monotonic() - began), 1)
        return Answer({**said, "milliseconds": took, "bytes": len(picture)}, picture)

    def _look_at(self, view: str, key: str) -> Seen:
        if key not in self._seen:
            # The view of a toned print, or of one with a stamp, is in color.
            settings = ReadSettings(even_if_colored=True)
            (page,) = scan.read(Path(view), settings).pages
            self._seen[key] = Seen(page, *self._colorizer.think(page))
            if len(self._seen) > MOST_PAGES:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]


def _look(_seen: Seen, _request: Mapping[str, Any]) -> Answer:
    return Answer({})


def _preview(seen: Seen, request: Mapping[str, Any]) -> Answer:
    wishes = wishes_of(request["wishes"])
    ab = grant(seen.thought, wishes, seen.variants if wishes.variant else ())
    gray = cielab.to_8_bit(cielab.encode(seen.page.tone.luminance[seen.page.gray], 8))
    return Answer({}, _encoded(".jpg", cielab.merge(gray, ab, seen.page.small)))


def _swatches(seen: Seen, request: Mapping[str, Any]) -> Answer:
    x, y = float(request["x"]), float(request["y"])
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError("the place is not on the page")
    side = len(seen.thought.guide)
    lightness = float(
        seen.thought.guide[min(int(y * side), side - 1), min(int(x * side), side - 1)]
    )
    found = swatches_at(seen.thought, x, y)
    said = [
        {"color": color_of(one.ab, lightness), "probability": round(one.probability, 4)}
        for one in found
    ]
    return Answer({"swatches": said})


def _variants(seen: Seen, _request: Mapping[str, Any]) -> Answer:
    likelihoods = [1.0, *(round(one.likelihood, 4) for one in seen.variants)]
    return Answer({"variants": likelihoods})


def _doubt(seen: Seen, _request: Mapping[str, Any]) -> Answer:
    """Veil a page where its colors are doubtful; clear where they are sure."""
    height, width = seen.page.gray.shape
    scale = min(1.0, OVERLAY_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Answer({"confidence": round(seen.confidence, 4)}, overlay(seen.thought, size))


def overlay(thought: Thought, size: tuple[int, int]) -> bytes:
    """Encode a veil, a PNG of this width and height, opaque as far as colors are doubtful."""
    doubt = 1 - np.exp(-expected_errors(thought) / DOUBTFUL)  # (s, s) in 0..1
    doubt = np.asarray(cv2.resize(doubt.astype(np.float32), size, interpolation=cv2.INTER_LINEAR))
    opacity = np.clip((doubt - SURE) / (LOST - SURE), 0, 1) * MOST_VEILED
    veil = np.empty((*doubt.shape, 4), np.uint8)
    veil[..., :3] = VEIL
    veil[..., 3] = np.rint(255 * opacity)
    return _encoded(".png", veil)


def _encoded(kind: str, pixels: Floats) -> bytes:
    to_bgr = [2, 1, 0, *range(3, pixels.shape[-1])]
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if kind == ".jpg" else []
    done, coded = cv2.imencode(kind, np.ascontiguousarray(pixels[..., to_bgr]), quality)
    if not done:
        raise ValueError("the picture cannot be encoded")
    return coded.tobytes()


DOES = {
    "look": _look,
    "preview": _preview,
    "swatches": _swatches,
    "variants": _variants,
    "doubt": _doubt,
}


def serve(preview: LivePreview, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    for line in requests:
        said, picture = preview.answer(json.loads(line))
        answers.write(json.dumps(said).encode() + b"\n" + picture)
        answers.flush()
