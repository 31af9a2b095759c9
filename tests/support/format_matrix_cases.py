"""The cases of the format matrix: what a scan is, what its result must be, and what it shows."""

from dataclasses import dataclass

import numpy as np

from tests.support.color_formulas import SRGB, Light
from tests.support.synthetic_photos import Array, gray_scene, turned

HEIGHT, WIDTH = 61, 83  # odd, so that no tile, block or byte of bits ends with a row


@dataclass(frozen=True)
class Stored:
    """How a TIFF is stored: the name of its compression, its byte order, 64-bit offsets or not."""

    compression: str = "NONE"
    order: str = "<"
    big: bool = False


@dataclass(frozen=True)
class Case:
    """A scan, and what its colored photograph must be.

    Attributes:
        name: of the file.
        data: its bytes.
        pages: codes as they are stored, white high: (H, W) or (H, W, 3).
        light: what they stand for.
        orientation: 1 to 8.
        alpha: opacity (H, W), if there is any.
        lossy: whether scan and result are stored with loss.
        toned: whether the codes themselves cannot be kept, so that 8 bits are rounded twice.
        exact: whether `pages` and `alpha` are what every decoder gives.
        real: whether it is in floating point; `pages` has the 16-bit codes nearest to it.
        stored: of a TIFF, how its result is stored.
        tones: whether there is any tone but black and white, which have no room for color.
    """

    name: str
    data: bytes
    pages: tuple[Array, ...]
    light: Light = SRGB
    orientation: int = 1
    alpha: Array | None = None
    lossy: bool = False
    toned: bool = False
    exact: bool = True
    real: bool = False
    stored: Stored = Stored()
    tones: bool = True

    @property
    def result(self) -> str:
        """Name of the colored photograph: the scan's own where its container can be kept."""
        suffix = self.name.rpartition(".")[2]
        instead = {"heic": ".jpg", "j2k": ".jp2"} | dict.fromkeys(
            ("bmp", "pbm", "pgm", "ppm", "jxl"), ".png"
        )
        return self.name + instead.get(suffix, "")

    def lightness(self, number: int) -> Array:
        """Give CIE L* of a page, upright: (H, W) float64."""
        lying = self.light.lightness(self.pages[number])
        back = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        return turned(lying, back)


def scene(depth: int = 8, seed: int = 0) -> Array:
    """Return the scene of most scans."""
    return gray_scene(HEIGHT, WIDTH, depth, seed)


def paletted() -> tuple[Array, Array, Array]:
    """Return a scene (H, W, 3), its indexes (H, W) and its palette (256, 3) in disorder."""
    places = np.random.default_rng(1).permutation(256).astype(np.uint8)
    palette = np.empty((256, 3), np.uint8)
    palette[places] = np.arange(256)[:, None]
    indexes = places[scene()]
    return palette[indexes], indexes, palette


def opacity(depth: int = 8) -> Array:
    """Return an opacity that falls from left to right, (H, W)."""
    across = np.linspace(1, 0.1, WIDTH) * (2**depth - 1)
    return np.tile(np.rint(across).astype(scene(depth).dtype), (HEIGHT, 1))


def packed(codes: Array, bits: int) -> bytes:
    """Pack codes (H, ...) of 1 to 16 bits row by row, the highest bit first."""
    rows = codes.reshape(len(codes), -1)[..., None].astype(np.uint32)
    places = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    ones = ((rows >> places) & 1).astype(np.uint8).reshape(len(codes), -1)
    return np.packbits(ones, axis=1).tobytes()
