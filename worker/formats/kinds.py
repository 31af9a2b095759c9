"""The kinds of image file: their suffixes, and in which kind the colored photograph comes back."""

from typing import Literal

from worker.settings import OutputFormat

Kind = Literal["tiff", "jpeg", "png", "webp", "jp2", "bmp", "pnm", "heic", "jxl"]

KIND_OF_SUFFIX: dict[str, Kind] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",  # as Windows saves pictures from the web
    ".jfi": "jpeg",
    ".jif": "jpeg",
    ".mpo": "jpeg",  # several JPEGs in one file (CIPA DC-007); the first is the photograph
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".btf": "tiff",  # BigTIFF
    ".tf8": "tiff",
    ".webp": "webp",
    ".jp2": "jp2",
    ".j2k": "jp2",
    ".jpf": "jp2",
    ".jpx": "jp2",
    ".bmp": "bmp",
    ".pbm": "pnm",
    ".pgm": "pnm",
    ".ppm": "pnm",
    ".pnm": "pnm",
    ".heic": "heic",
    ".heif": "heic",
    ".jxl": "jxl",
}
# The suffixes that a result of a kind may bear; the first is added to a scan with any other.
# A result holds one picture, so it is no .mpo, and has boxes, so it is no .j2k.
RESULT_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "tiff": (".tif", ".tiff", ".btf", ".tf8"),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"),
    "png": (".png",),
    "webp": (".webp",),
    "jp2": (".jp2", ".jpf", ".jpx"),
}
# What cannot hold the label or the profile, or cannot be written: the nearest kind that can.
_INSTEAD: dict[Kind, Kind] = {"bmp": "png", "pnm": "png", "heic": "jpeg", "jxl": "png"}


def result_kind(kind: Kind, output_format: OutputFormat) -> Kind:
    """Return the kind of file in which a colored scan of some kind comes back.

    Args:
        kind: of the scan.
        output_format: as set; "same" keeps the scan's kind where that can hold the result.
    """
    return _INSTEAD.get(kind, kind) if output_format == "same" else output_format
