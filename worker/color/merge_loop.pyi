from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

def color_strip(
    out: Array,
    gray: Array,
    planes: tuple[Array, ...],
    fy: Array,
    luminance: Array,
    to_rgb: Array,
    tables: Array,
    step: Array | bytes,
    shape: tuple[int, ...],
    limit_a: float,
    limit_b: float,
    depth: int,
    srgb: bool,
    /,
) -> None: ...
