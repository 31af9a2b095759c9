"""The metadata of a colored page: the scan's, corrected for the result, and labeled.

Never refuses a photograph: an unreadable block is dropped, and `lost` names it.
"""

from collections.abc import Sequence
from dataclasses import replace

from worker.color import icc
from worker.errors import DamagedError, plain
from worker.metadata import exif, ifd, photoshop, xmp
from worker.metadata.block import CENTIMETERS, Metadata, Resolution, Texts
from worker.metadata.exif import Block
from worker.metadata.provenance import Origin, XmpFile
from worker.settings import OutputSpace, WriteSettings

INTEROP_OF_SPACE = {"srgb": b"R98\0", "adobe-rgb": b"R03\0"}  # DCF 2.0: basic and option file
SRGB, UNCALIBRATED = 1, 65535  # EXIF's ColorSpace

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
INCH, CENTIMETER = 2, 3  # EXIF's ResolutionUnit
ORIENTATION, SOFTWARE = 0x0112, 0x0131
EXIF_VERSION, COLOR_SPACE, PIXEL_WIDTH, PIXEL_HEIGHT = 0x9000, 0xA001, 0xA002, 0xA003
INTEROP_INDEX, INTEROP_VERSION, RELATED_WIDTH, RELATED_HEIGHT = 1, 2, 0x1001, 0x1002
# How the scan's samples are stored (TIFF 6.0, DNG 1.6), and blocks carried separately.
OF_THE_FILE = {
    *range(254, 260),  # subfile type, size, bits, compression
    *(262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293),
    *(301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 333, 334, 336, 338, 339),
    *(340, 341, 342, 347, *range(512, 522), 529, 530, 532),
    *(700, 33723, 34377, 34675, 37724),  # XMP, IPTC, Photoshop's blocks, ICC profile, layers
    *(50706, 50707, 59932),  # that it is a DNG; padding
}
COMPRESSED_BITS, COMPONENTS, POSITIONING = 0x9102, 0x9101, 0x0213
OF_PLACES = {0x9214, 0xA214}  # SubjectArea, SubjectLocation: in pixels of the scan as it lay

POSITIONS = {0x011E, 0x011F}  # XPosition, YPosition: of the scan as it lay, on a larger page

CREDIT, CHARSET, UTF_8 = (2, 110), (1, 90), b"\x1b%G"  # IPTC-IIM 4.2
LONGEST_CREDIT = 32  # bytes, in IPTC-IIM
LARGEST_DPI = 400_000.0
COMMENT = "Comment"  # keyword
LONGEST_SHOWN = 200  # characters of a text that is named


def for_result(
    metadata: Metadata,
    *,
    origin: Origin,
    width: int,
    height: int,
    profile: bytes,
    settings: WriteSettings,
    turned: bool = False,
) -> Metadata:
    """Return a colored page's metadata.

    Args:
        metadata: the scan's.
        origin: where the result comes from.
        width: columns of the result.
        height: rows of the result.
        profile: ICC profile of the result.
        settings: label, credit and color space.
        turned: whether making the scan upright swapped its sides.
    """
    lost = list(metadata.lost)
    dpi = metadata.dpi[::-1] if metadata.dpi and turned else metadata.dpi
    block = _read_exif(metadata.exif, lost)
    facts = xmp.Facts(
        width=width,
        height=height,
        color_space=SRGB if settings.space == "srgb" else UNCALIBRATED,
        profile_name=icc.describe(profile),
        turned=turned,
        scan_software=exif.text_of(block.main.get(SOFTWARE)),
    )
    moved = turned or block.number(block.main.get(ORIENTATION)) not in {None, 0, 1}
    if moved and xmp.has_regions(metadata.xmp):
        lost.append("the XMP packet's regions lie as the scan lay before it was made upright")
    if moved and POSITIONS & block.main.keys():
        lost.append("where the scan lies on its page (XPosition, YPosition): it was turned upright")
    _correct_storage(block, moved=moved)
    metric = metadata.metric or block.number(block.main.get(RESOLUTION_UNIT)) == CENTIMETER
    _correct_resolution(block, dpi, metric=metric, turned=turned)
    _correct_facts(block, facts, origin.software, settings.space)
    iptc = _with_credit(metadata.iptc, settings.credit, lost)
    resources = metadata.photoshop
    if moved:
        resources, gone = photoshop.without_places(resources)
        lost += (f"Photoshop's resources: {name}, as the scan lay" for name in gone)
    return replace(
        metadata,
        exif=exif.write(block),
        iptc=iptc,
        xmp=_merge_xmp(metadata.xmp, origin, facts, settings, lost),
        profile=profile,
        dpi=dpi,
        metric=metric,
        photoshop=photoshop.with_digest(resources, metadata.iptc, iptc),
        lost=tuple(lost),
    )


def fitting(metadata: Metadata, *, held: Texts, photoshop_held: bool) -> Metadata:
    """Drop what the result's format cannot hold, and name it in `lost`.

    Args:
        metadata: the scan's.
        held: the texts that the format holds.
        photoshop_held: whether it holds Photoshop's image resources.
    """
    lost = list(metadata.lost)
    resources = metadata.photoshop
    if resources and not photoshop_held:
        lost += (f"Photoshop's resources: {name}" for name in photoshop.names(resources))
        resources = b""
    texts = []
    for keyword, text in metadata.texts:
        if held == "all" or (held == "comments" and keyword == COMMENT):
            texts.append((keyword, text))
        else:
            name = "a comment" if keyword == COMMENT else f"the text {keyword}"
            lost.append(f"{name}: {text.decode(errors='replace')[:LONGEST_SHOWN]}")
    return replace(metadata, photoshop=resources, texts=tuple(texts), lost=tuple(lost))


def with_xmp_files(metadata: Metadata, files: Sequence[XmpFile], orientation: int) -> Metadata:
    """Merge the XMP files beside the scan into a page's metadata; they take precedence.

    Args:
        metadata: the page's.
        files: those beside its scan; the last takes precedence.
        orientation: the page's, 1 to 8, as EXIF has it.
    """
    packet, lost = metadata.xmp, list(metadata.lost)
    for file in files:
        fault = file.fault
        try:
            if not fault:
                packet = _overlaid(packet, file, lost)
                said = xmp.orientation_of(file.content)
                if said not in {None, str(orientation)}:
                    lost.append(
                        f"what the XMP file {file.name} says of the way up (tiff:Orientation"
                        f" {said}): the photograph lies as its scan says"
                    )
        except ValueError as error:
            fault = str(error)
        if fault:
            lost.append(f"the XMP file {file.name} cannot be read ({fault})")
    return replace(metadata, xmp=packet, lost=tuple(lost))


def _overlaid(packet: bytes, file: XmpFile, lost: list[str]) -> bytes:
    alone = xmp.overlaid(b"", file.content)  # raises where it is the file that cannot be read
    try:
        return xmp.overlaid(packet, file.content)
    except ValueError as error:
        lost.append(f"the XMP packet cannot be read ({error})")
        return alone


def _read_exif(data: bytes, lost: list[str]) -> Block:
    if not data:
        return Block()
    try:
        block = exif.read(data)
    except ValueError as error:
        lost.append(f"the EXIF block cannot be read ({plain(error)})")
        return Block()
    if block.unreadable:
        lost.append(f"{block.unreadable} values of the EXIF block cannot be read")
    if block.thumbnail:
        lost.append("the EXIF block's thumbnail, which shows the scan")
    return block


def _correct_storage(block: Block, *, moved: bool) -> None:
    """Remove how the scan's samples are stored, and coordinates that no longer hold."""
    wrong = OF_THE_FILE | {COMPRESSED_BITS} | (OF_PLACES | POSITIONS if moved else set())
    for directory in (block.main, block.exif):
        for tag in [tag for tag in directory if tag in wrong]:
            del directory[tag]
        for tag in [tag for tag, value in directory.items() if value.kind == ifd.DIRECTORY]:
            del directory[tag]
    if COMPONENTS in block.exif:  # a JPEG must say them
        block.exif[COMPONENTS] = ifd.Value(ifd.UNDEFINED, b"\1\2\3\0")  # Y, Cb, Cr
    if POSITIONING in block.main:
        block.main[POSITIONING] = block.short(1)  # centered: all 4:4:4 is


def _correct_resolution(
    block: Block, dpi: Resolution | None, *, metric: bool, turned: bool
) -> None:
    main = block.main
    inches = CENTIMETERS if metric else 1.0
    if dpi and all(0 < value <= LARGEST_DPI for value in dpi):
        main[X_RESOLUTION], main[Y_RESOLUTION] = (block.rational(value / inches) for value in dpi)
        main[RESOLUTION_UNIT] = block.short(CENTIMETER if metric else INCH)
    elif turned and X_RESOLUTION in main and Y_RESOLUTION in main:
        main[X_RESOLUTION], main[Y_RESOLUTION] = main[Y_RESOLUTION], main[X_RESOLUTION]


def _correct_facts(block: Block, facts: xmp.Facts, software: str, space: OutputSpace) -> None:
    """Correct the block for the result.

    DateTime stays: Exif calls it the date of the last change, TIFF that of creation, and scanners
    write the date of the scan. The date of coloring is in XMP.
    """
    block.main[ORIENTATION] = block.short(1)
    block.main[SOFTWARE] = exif.text(software)
    block.exif.setdefault(EXIF_VERSION, ifd.Value(ifd.UNDEFINED, b"0232"))
    block.exif[COLOR_SPACE] = block.short(facts.color_space)
    block.exif[PIXEL_WIDTH] = block.long(facts.width)
    block.exif[PIXEL_HEIGHT] = block.long(facts.height)
    for tag, value in ((RELATED_WIDTH, facts.width), (RELATED_HEIGHT, facts.height)):
        if tag in block.interop:
            block.interop[tag] = block.long(value)
    block.interop.pop(INTEROP_INDEX, None)
    # Readers recognize Adobe RGB by it; ColorSpace states sRGB.
    if space in INTEROP_OF_SPACE and (block.interop or space == "adobe-rgb"):
        block.interop[INTEROP_INDEX] = ifd.Value(ifd.ASCII, INTEROP_OF_SPACE[space])
        block.interop.setdefault(INTEROP_VERSION, ifd.Value(ifd.UNDEFINED, b"0100"))


def _merge_xmp(
    packet: bytes, origin: Origin, facts: xmp.Facts, settings: WriteSettings, lost: list[str]
) -> bytes:
    try:
        return xmp.merge(packet, origin, facts, label=settings.label, credit=settings.credit)
    except ValueError as error:
        lost.append(f"the XMP packet cannot be read ({plain(error)})")
        return xmp.merge(b"", origin, facts, label=settings.label, credit=settings.credit)


def _with_credit(iptc: bytes, credit: str, lost: list[str]) -> bytes:
    """Replace the credit line of IPTC-IIM datasets, if there are any."""
    if not iptc or not credit:
        return iptc
    try:
        datasets = _datasets(iptc)
    except ValueError as error:
        lost.append(
            f"the credit line is in XMP only: the IPTC block cannot be read ({plain(error)})"
        )
        return iptc
    is_utf_8 = any(key == CHARSET and data.endswith(UTF_8) for key, data in datasets)
    kept = [(key, data) for key, data in datasets if key != CREDIT]
    if not is_utf_8 and not credit.isascii():
        lost.append("the credit line is in XMP only: the IPTC block's characters are not UTF-8")
        return b"".join(data for _, data in kept)
    text = credit.encode(errors="replace")[:LONGEST_CREDIT].decode(errors="ignore").encode()
    line = bytes((0x1C, *CREDIT)) + len(text).to_bytes(2, "big") + text
    # After the record's datasets of lower numbers, before the next record.
    at = next((n for n, (key, _) in enumerate(kept) if key > CREDIT), len(kept))
    return b"".join(data for _, data in [*kept[:at], (CREDIT, line), *kept[at:]])


def _datasets(iptc: bytes) -> list[tuple[tuple[int, int], bytes]]:
    """Split IPTC-IIM into datasets: (record, number) and all bytes of each.

    Raises:
        DamagedError: it is truncated, or is no IPTC-IIM.
    """
    found = []
    at = 0
    end = len(iptc.rstrip(b"\0"))  # some writers pad
    while at < end:
        if iptc[at] != 0x1C or at + 5 > len(iptc):
            raise DamagedError(f"no dataset at byte {at}")
        size = int.from_bytes(iptc[at + 3 : at + 5], "big")
        start = at + 5
        if size & 0x8000:  # an extended dataset: that many bytes hold the size
            start += size & 0x7FFF
            size = int.from_bytes(iptc[at + 5 : start], "big")
        if start + size > len(iptc):
            raise DamagedError(f"the dataset at byte {at} is cut short")
        found.append(((iptc[at + 1], iptc[at + 2]), iptc[at : start + size]))
        at = start + size
    return found
