"""The JSON of IIIF Presentation 3: manifests of photographs whose scan and coloring one may choose.

Only builds values; `service.maintenance.iiif_export` decides what is in them and writes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

Form = Literal["choice", "canvases"]
First = Literal["scan", "colored"]
Words = dict[str, list[str]]
Json = dict[str, Any]

CONTEXT = "http://iiif.io/api/presentation/3/context.json"
JPEG = "image/jpeg"
SCAN: Words = {"en": ["Scan"], "zh": ["扫描件"]}
STATEMENT = {
    "label": {"en": ["Colors"], "zh": ["色彩"]},
    "value": {
        "en": ["The colors are a machine's guess. The scan is the record."],
        "zh": ["色彩为机器推测，扫描件才是原始记录。"],
    },
}
TITLE: Words = {"en": ["Photographs, colored by a machine"], "zh": ["机器上色的照片"]}
TOP_FOLDER: Words = {"en": ["Photographs"], "zh": ["照片"]}


class Picture(NamedTuple):
    """A page as a level-0 pyramid.

    Attributes:
        url: of its folder.
        width, height: of the page.
        sizes: width and height of each file of the whole page, smallest first.
    """

    url: str
    width: int
    height: int
    sizes: tuple[tuple[int, int], ...]

    @property
    def service(self) -> list[Json]:
        """How viewers zoom."""
        return [{"id": self.url, "type": "ImageService3", "profile": "level0"}]

    @property
    def thumbnail(self) -> list[Json]:
        """The smallest file."""
        width, height = self.sizes[0]
        return [
            {
                "id": f"{self.url}/full/{width},{height}/0/default.jpg",
                "type": "Image",
                "format": JPEG,
                "width": width,
                "height": height,
                "service": self.service,
            }
        ]

    def image(self, label: Words) -> Json:
        """The largest file, with its service, as a body of an annotation."""
        width, height = self.sizes[-1]
        return {
            "id": f"{self.url}/full/max/0/default.jpg",
            "type": "Image",
            "format": JPEG,
            "width": width,
            "height": height,
            "label": label,
            "service": self.service,
        }


class FileLink(NamedTuple):
    """A file beside the pictures: its URL, its media type, and what it is."""

    url: str
    mime: str
    label: Words


@dataclass(frozen=True)
class Photograph:
    """A photograph in a manifest.

    Attributes:
        name: of the scan's file, as text.
        url: below which its canvases are named.
        scans: a picture for each page.
        colored: the same pages.
        model: that colored it; None: not recorded.
        colored_at: seconds since 1970; None: not recorded.
        approved: whether a person approved the colors.
        sidecar: of the result, or None.
        files: scan and result, if they are there.
    """

    name: str
    url: str
    scans: tuple[Picture, ...]
    colored: tuple[Picture, ...]
    model: str | None
    colored_at: float | None
    approved: bool
    sidecar: FileLink | None = None
    files: tuple[FileLink, ...] = ()


def collection(url: str, manifests: Sequence[tuple[str, Words, list[Json]]]) -> Json:
    """Return the collection of all manifests: their URLs, labels and thumbnails."""
    return {
        "@context": CONTEXT,
        "id": url,
        "type": "Collection",
        "label": TITLE,
        "requiredStatement": STATEMENT,
        "items": [
            {"id": one, "type": "Manifest", "label": label, "thumbnail": thumbnail}
            for one, label, thumbnail in manifests
        ],
    }


def manifest(
    url: str,
    label: Words,
    photographs: Sequence[Photograph],
    part_of: str,
    form: Form = "choice",
    first: First = "scan",
) -> Json:
    """Return the manifest of a folder.

    Args:
        url: of the manifest.
        label: of the folder.
        photographs: at least one, in their order.
        part_of: URL of the collection.
        form: one canvas a page, on which scan and coloring are a choice, or a canvas for each.
        first: what a viewer that offers no choice shows.
    """
    canvases = [
        canvas
        for photograph in photographs
        for page in range(len(photograph.scans))
        for canvas in _canvases(photograph, page, form, first)
    ]
    return {
        "@context": CONTEXT,
        "id": url,
        "type": "Manifest",
        "label": label,
        "requiredStatement": STATEMENT,
        "behavior": ["individuals"],
        "thumbnail": canvases[0]["thumbnail"],
        "partOf": [{"id": part_of, "type": "Collection"}],
        "items": canvases,
    }


def _canvases(photograph: Photograph, page: int, form: Form, first: First) -> list[Json]:
    sides = [
        ("scan", photograph.scans[page], SCAN),
        ("colored", photograph.colored[page], colored_label(photograph.model)),
    ]
    if first == "colored":
        sides.reverse()
    images = [picture.image(label) for _, picture, label in sides]
    if form == "choice":
        body = {"type": "Choice", "items": images}
        return [_canvas(photograph, page, f"{page + 1}", sides[0][1], body)]
    return [
        _canvas(photograph, page, f"{page + 1}-{side}", picture, image, label)
        for (side, picture, label), image in zip(sides, images, strict=True)
    ]


def _canvas(
    photograph: Photograph,
    page: int,
    place: str,
    picture: Picture,
    body: Json,
    what: Words | None = None,
) -> Json:
    url = f"{photograph.url}/{place}"
    made: Json = {
        "id": f"{url}/canvas",
        "type": "Canvas",
        "label": _label(photograph, page, what),
        "width": photograph.scans[page].width,
        "height": photograph.scans[page].height,
        "thumbnail": picture.thumbnail,
        "metadata": _metadata(photograph),
        "items": [
            {
                "id": f"{url}/painting",
                "type": "AnnotationPage",
                "items": [
                    {
                        "id": f"{url}/painting/1",
                        "type": "Annotation",
                        "motivation": "painting",
                        "body": body,
                        "target": f"{url}/canvas",
                    }
                ],
            }
        ],
    }
    if photograph.sidecar:
        link = photograph.sidecar
        made["seeAlso"] = [
            {"id": link.url, "type": "Dataset", "format": link.mime, "label": link.label}
        ]
    if photograph.files:
        made["rendering"] = [
            {"id": link.url, "type": "Image", "format": link.mime, "label": link.label}
            for link in photograph.files
        ]
    return made


def _label(photograph: Photograph, page: int, what: Words | None) -> Words:
    """Return the name, with the number of the page if there are several, and what is shown."""
    if what is None and len(photograph.scans) == 1:
        return {"none": [photograph.name]}
    name = {"en": photograph.name, "zh": photograph.name}
    if len(photograph.scans) > 1:
        name["en"] += f", page {page + 1}"
        name["zh"] += f"，第 {page + 1} 页"
    if what is not None:
        name["en"] += f": {what['en'][0]}"
        name["zh"] += f"：{what['zh'][0]}"
    return {language: [text] for language, text in name.items()}


def colored_label(model: str | None) -> Words:
    """Return the label of what a version of the model colored; None: it is not recorded."""
    english, chinese = (f", model {model}", f"，模型 {model}") if model else ("", "")
    return {
        "en": [f"Colored by a machine (photochrom{english})"],
        "zh": [f"机器上色（photochrom{chinese}）"],
    }


def _metadata(photograph: Photograph) -> list[Json]:
    said: list[tuple[Words, Words]] = [
        (
            {"en": ["Colors"], "zh": ["色彩"]},
            colored_label(photograph.model),
        )
    ]
    if photograph.colored_at is not None:
        day = datetime.fromtimestamp(photograph.colored_at, UTC).date().isoformat()
        said.append(({"en": ["Colored on"], "zh": ["上色日期"]}, {"none": [day]}))
    if photograph.approved:
        said.append(
            (
                {"en": ["Review"], "zh": ["审核"]},
                {"en": ["Approved by a person"], "zh": ["经人工核准"]},
            )
        )
    return [{"label": label, "value": value} for label, value in said]
