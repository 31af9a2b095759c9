"""Makes the sheets of docs/training.md and the example of README.md: what the built-in colors.

    python -m tests.model_sheets PHOTOS BEFORE [DATA]

PHOTOS holds `val` and `history_bw`, BEFORE is the folder of an earlier version. DATA is the folder
`skimage/data` of scikit-image 0.26, whose photographs are in the public domain or CC0; without it
docs/example.jpg stays as it is. Photographs without a free license are on no sheet.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import keras
import numpy as np
from PIL import Image

from worker import scan
from worker.color import cielab
from worker.color.cielab import Pixels
from worker.inference.device import set_up_device
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.settings import ColorSettings, ReadSettings
from worker.training.data.files import find_photos
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.evaluation.scan_sheet import colored

DOCS = Path(__file__).parents[1] / "docs"
FREE = {"clothing": 3, "elementary": 1, "kodak": 8}  # sets of `val` of free license: how many
EVERY = 5  # photograph of `history_bw`
EXAMPLES = ("astronaut.png", "rocket.jpg", "coffee.png", "chelsea.png")
EXAMPLE_HEIGHT, GAP = 200, 6  # pixels
QUALITY = 85  # of JPEG


def main() -> None:
    """Color the photographs with both generators and lay them out."""
    ask = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ask.add_argument("photos", type=Path)
    ask.add_argument("before", type=Path)
    ask.add_argument("data", type=Path, nargs="?")
    wish = ask.parse_args()
    set_up_device()
    now = load_generator(ModelStore(wish.before.parent).get("builtin"))
    before = load_generator(ModelStore(wish.before.parent).get(int(wish.before.name)))
    both = {"before": before, "now": now}

    found = find_photos([wish.photos / "val"])
    names = [
        path
        for name, count in FREE.items()
        for path in [one for one in found if one.name.startswith(f"{name}_")][:count]
    ]
    truths = [scan.read_color(path, ReadSettings()) for path in names]
    save("sheet_validation", sheet([cielab.gray_of_rgb(one) for one in truths], both, truths))
    scans = [cielab.gray_of_rgb(read(path)) for path in find_photos([wish.photos / "history_bw"])]
    save("sheet_history", sheet(scans[::EVERY], both))
    if wish.data:
        save("example", example([read(wish.data / name) for name in EXAMPLES], now))


def read(path: Path) -> Pixels:
    """Read a photograph as (H, W, 3) uint8 sRGB, gray ones too."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def sheet(
    scans: Sequence[Pixels],
    generators: Mapping[str, keras.Model],
    truths: Sequence[Pixels] | None = None,
) -> Pixels:
    """Lay scans out in two halves: gray, as each generator colors them, and the truth."""
    columns = {"gray": [np.repeat(one[..., None], 3, axis=-1) for one in scans]}
    for title, generator in generators.items():
        columns[title] = colored(scans, generator, ColorSettings.render_size)
    if truths:
        columns["truth"] = list(truths)
    rows = list(zip(*columns.values(), strict=True))
    half = (len(rows) + 1) // 2
    sides = [contact_sheet(some, list(columns)) for some in (rows[:half], rows[half:])]
    height = max(len(side) for side in sides)
    return np.hstack(
        [
            np.pad(side, ((0, height - len(side)), (0, 0), (0, 0)), constant_values=255)
            for side in sides
        ]
    )


def example(truths: Sequence[Pixels], generator: keras.Model) -> Pixels:
    """Lay photographs out in rows of one height: gray, colored, true."""
    grays = [cielab.gray_of_rgb(one) for one in truths]
    results = colored(grays, generator, ColorSettings.render_size)
    rows = []
    for row in zip(grays, results, truths, strict=True):
        cells = []
        for picture in row:
            rgb = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture
            width = round(rgb.shape[1] * EXAMPLE_HEIGHT / rgb.shape[0])
            cell = cv2.resize(rgb, (width, EXAMPLE_HEIGHT), interpolation=cv2.INTER_AREA)
            cells += [cell, np.full((EXAMPLE_HEIGHT, GAP, 3), 255, np.uint8)]
        rows.append(np.hstack(cells[:-1]))
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.vstack(padded)[:-GAP]


def save(name: str, picture: Pixels) -> None:
    """Write a picture of the documentation."""
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    (DOCS / f"{name}.jpg").write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
