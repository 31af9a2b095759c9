"""Color points as the command line takes them: a pixel of the upright scan, and its color."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Self

from worker.settings import ColorPoint

FORM = re.compile(r"(?:(\d{1,6}):)?(\d{1,9}),(\d{1,9})=(#[0-9a-fA-F]{6})")
IN_WORDS = "X,Y=#rrggbb, such as 120,340=#7a1f2b (with several pages PAGE:X,Y=#rrggbb)"


class PixelPoint(NamedTuple):
    """A color at a pixel.

    Attributes:
        page: number of the page, from 0.
        x: column of the upright page, from 0.
        y: row.
        color: as #rrggbb.
    """

    page: int
    x: int
    y: int
    color: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a point; pages are counted from 1 there.

        Raises:
            ValueError: it is written otherwise.
        """
        found = FORM.fullmatch(text.strip())
        if found is None or found[1] == "0":
            raise ValueError(f"{text!r} must be {IN_WORDS}")
        return cls(int(found[1] or 1) - 1, int(found[2]), int(found[3]), found[4].lower())

    def on(
        self, sizes: Sequence[tuple[int, int]], *, who: str = "", source: str = ""
    ) -> ColorPoint:
        """Place it on a photograph.

        Args:
            sizes: height and width of each page, upright, in pixels.
            who: says so.
            source: on what evidence.

        Raises:
            ValueError: it lies outside.
        """
        if self.page >= len(sizes):
            pages = "1 page" if len(sizes) == 1 else f"{len(sizes)} pages"
            raise ValueError(f"there is no page {self.page + 1}; the photograph has {pages}")
        height, width = sizes[self.page]
        if self.x >= width or self.y >= height:
            raise ValueError(
                f"the point {self.x},{self.y} lies outside the photograph of {width} x {height}"
                " pixels"
            )
        x, y = (self.x + 0.5) / width, (self.y + 0.5) / height
        return ColorPoint(x, y, self.color, page=self.page, who=who, source=source)
