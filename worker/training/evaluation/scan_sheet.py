"""A contact sheet of an archive's own scans, whose true colors nobody knows."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from worker.color import cielab
from worker.color.cielab import Pixels
from worker.inference import batches
from worker.models.decoding import gain_of
from worker.training.evaluation.contact_sheet import ROWS, contact_sheet
from worker.training.evaluation.decoding_search import BATCH, chroma_of


def scan_sheet(
    scans: Sequence[Pixels], generators: Mapping[str, keras.Model], render_size: int
) -> Pixels:
    """Lay scans out beside what each generator makes of them.

    Args:
        scans: (H, W) uint8 gray codes, at least one; twelve at most are shown, evenly chosen.
        generators: by the title of their column, each with its decoding.
        render_size: side of the generators' input, pixels.

    Returns:
        (height, width, 3) uint8 sRGB, a row for each scan.
    """
    chosen = np.linspace(0, len(scans) - 1, min(ROWS, len(scans))).round().astype(int)
    shown = [scans[index] for index in chosen]
    columns = [[np.repeat(scan[..., None], 3, axis=-1) for scan in shown]]
    columns += [colored(shown, generator, render_size) for generator in generators.values()]
    return contact_sheet(list(zip(*columns, strict=True)), ["scan", *generators])


def colored(scans: Sequence[Pixels], generator: keras.Model, render_size: int) -> list[Pixels]:
    """Color scans as the colorizer does.

    Args:
        scans: (H, W) uint8 gray codes.
        generator: with its decoding.
        render_size: side of the generator's input, pixels.

    Returns:
        (H, W, 3) uint8 sRGB for each scan, in order.
    """
    colored: list[Pixels] = []
    for start in range(0, len(scans), BATCH):
        some = scans[start : start + BATCH]
        logits = generator.predict_on_batch(batches.fit(some, render_size, BATCH))
        chroma, _ = chroma_of(logits, len(some), gain_of(generator))
        colored += [cielab.merge(scan, ab) for scan, ab in zip(some, chroma, strict=True)]
    return colored
