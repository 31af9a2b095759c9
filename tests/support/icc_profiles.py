"""ICC profiles written by hand for tests: curves, primaries or tables of colors, versions 2 and 4.

Nothing of `worker.color.icc` is used here, so that its mistakes are not made twice.
"""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Curve = float | Array  # a power, or equally spaced values in 0..1
Place = tuple[float, float]  # CIE x and y

D50 = np.array([0.9642, 1.0, 0.8249])
D50_PLACE = (0.34567, 0.35850)
D65_PLACE = (0.3127, 0.3290)
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
ADOBE_PLACES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ECI_PLACES = ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08))
PROPHOTO_PLACES = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))


def xyz_of_place(place: Place) -> Array:
    """Give XYZ at Y = 1 of x and y."""
    x, y = place
    return np.array([x / y, 1.0, (1 - x - y) / y])


def adapted(white: Array, to: Array = D50) -> Array:
    """Give Bradford's matrix from one white to another."""
    scale = np.diag((BRADFORD @ to) / (BRADFORD @ white))
    return np.asarray(np.linalg.inv(BRADFORD) @ scale @ BRADFORD)


def d50_from_rgb(places: tuple[Place, ...], white: Place = D65_PLACE) -> Array:
    """Give XYZ under D50 of linear RGB with these primaries and white: (3, 3)."""
    columns = np.stack([xyz_of_place(place) for place in places], axis=1)
    columns *= np.linalg.solve(columns, xyz_of_place(white))
    return adapted(xyz_of_place(white)) @ columns


def l_star_curve(entries: int = 4096) -> Array:
    """Tabulate the curve of L*: luminance of equally spaced lightness."""
    light = np.linspace(0, 100, entries)
    return np.where(light > 8, ((light + 16) / 116) ** 3, light * 27 / 24389)


def srgb_curve(entries: int = 1024) -> Array:
    """Tabulate sRGB's curve, as most "Gray sRGB" profiles do."""
    code = np.linspace(0, 1, entries)
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def dot_gain_curve(gain: float = 0.2, entries: int = 1024) -> Array:
    """Tabulate gray ink whose dots grow by `gain` at half coverage (Murray-Davies)."""
    ink = 1 - np.linspace(0, 1, entries)
    return 1 - (ink + 4 * gain * ink * (1 - ink))


def gray_profile(
    curve: Curve, version: int = 2, name: str = "Test gray", paper: float = 1.0
) -> bytes:
    """Write a profile of gray with one curve, on paper that gives back this share of light."""
    tags = {"kTRC": _curve(curve, version), "wtpt": _xyz(paper * D50)}
    return packed("GRAY", tags, version, name)


def rgb_profile(
    curve: Curve,
    places: tuple[Place, ...] = ADOBE_PLACES,
    white: Place = D65_PLACE,
    version: int = 2,
    name: str = "Test RGB",
) -> bytes:
    """Write a profile of RGB with one curve for all and a matrix."""
    columns = d50_from_rgb(places, white)
    tags = {f"{c}TRC": _curve(curve, version) for c in "rgb"}
    tags |= {f"{c}XYZ": _xyz(columns[:, n]) for n, c in enumerate("rgb")}
    return packed("RGB ", tags, version, name)


def table_profile(
    model: str, lab: Callable[[Array], Array], grid: int = 9, name: str = "Test table"
) -> bytes:
    """Write a profile whose colors are a table (A2B0, lut16Type) of CIE L*a*b* under D50.

    Args:
        model: "GRAY", "RGB " or "CMYK".
        lab: from codes (N, channels) in 0..1 to (N, 3).
        grid: places of the table along each channel.
        name: its description.
    """
    channels = {"GRAY": 1, "RGB ": 3, "CMYK": 4}[model]
    axes = np.meshgrid(*[np.linspace(0, 1, grid)] * channels, indexing="ij")
    colors = lab(np.stack(axes, axis=-1).reshape(-1, channels))
    codes = np.rint(np.clip((colors + np.array([0, 128, 128])) * [652.8, 256, 256], 0, 65535))
    table = struct.pack(">4s4xBBBx", b"mft2", channels, 3, grid)
    table += (np.eye(3).ravel() * 65536).astype(">i4").tobytes() + struct.pack(">HH", 2, 2)
    straight = struct.pack(">HH", 0, 65535)
    table += straight * channels + codes.astype(">u2").tobytes() + straight * 3
    return packed(model, {"A2B0": table}, 2, name, pcs="Lab ")


def packed(
    model: str, tags: dict[str, bytes], version: int, name: str, *, pcs: str = "XYZ "
) -> bytes:
    """Lay tags out behind a header; adds description, copyright and white."""
    tags = {"desc": _text(name, version), "cprt": _text("none", version), "wtpt": _xyz(D50)} | tags
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag.encode(), start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">I4xI4s4s4s", start + len(body), version << 24, b"mntr", model.encode(), pcs.encode()
    )
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += (D50 * 65536).round().astype(">i4").tobytes()
    return header.ljust(128, b"\0") + table + body


def _curve(curve: Curve, version: int) -> bytes:
    if isinstance(curve, float):
        if version >= 4:
            return struct.pack(">4s4xHHi", b"para", 0, 0, round(curve * 65536))
        if curve == 1:
            return struct.pack(">4s4xI", b"curv", 0)
        return struct.pack(">4s4xIH", b"curv", 1, round(curve * 256))
    codes = np.rint(curve * 65535).astype(">u2")
    return struct.pack(">4s4xI", b"curv", len(codes)) + codes.tobytes()


def _xyz(xyz: Array) -> bytes:
    return b"XYZ " + bytes(4) + (xyz * 65536).round().astype(">i4").tobytes()


def _text(text: str, version: int) -> bytes:
    if version >= 4:
        words = text.encode("utf-16-be")
        return struct.pack(">4s4xII4sII", b"mluc", 1, 12, b"enUS", len(words), 28) + words
    letters = text.encode("ascii") + b"\0"
    return (
        b"desc" + bytes(4) + struct.pack(">I", len(letters)) + letters + bytes(4 + 4 + 2 + 1 + 67)
    )


def oblique_lab(rgb: NDArray[Any]) -> NDArray[Any]:
    """Give a Lab that is linear in codes, so that its luminance is no sum over channels."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    light = 100 * (0.3 * red + 0.5 * green + 0.2 * blue)
    return np.stack([light, 40 * (red - green), 30 * (green - blue)], axis=-1)
