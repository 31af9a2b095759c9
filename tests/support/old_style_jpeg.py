"""Old-style JPEG in TIFF, whose tables stand in tags."""

import itertools

from tests.support.tiff_files import gray_fields, plain


def parts_of(stream: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Cut a JPEG into its segments, code and body of each, and its codes without the end marker."""
    found, at = [], 2
    while True:
        code, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4])
        found.append((code, stream[at + 4 : at + 2 + length]))
        at += 2 + length
        if code == 0xDA:
            return found, stream[at:-2]


def in_tags(streams: list[bytes], rows: int, *, ended: bool, gray: bool, **tags: object) -> bytes:
    """Write an old-style TIFF whose tables stand in tags, one strip of codes from each stream."""
    segments, _ = parts_of(streams[0])
    blob, places = b"", {519: [], 520: [], 521: []}  # type: ignore[var-annotated]
    for code, body in segments:
        while code == 0xDB and body:
            places[519].append(8 + len(blob))
            blob, body = blob + body[1:65], body[65:]  # noqa: PLW2901 - several in a segment
        while code == 0xC4 and body:
            size = 17 + sum(body[1:17])
            places[521 if body[0] & 16 else 520].append(8 + len(blob))
            blob, body = blob + body[1:size], body[size:]  # noqa: PLW2901
    strips = [parts_of(stream)[1] + (b"\xff\xd9" if ended else b"") for stream in streams]
    starts = list(itertools.accumulate([8 + len(blob), *map(len, strips[:-1])]))
    for tag in places if not gray else ():  # each sample has its own, as TIFF 6.0 has it
        places[tag] = [places[tag][0], places[tag][1], places[tag][1]]
    fields = gray_fields(80, 64, 8, t259=6, t278=rows, t262=1 if gray else 6, t277=1 if gray else 3)
    fields += [(512, 3, 1), *((tag, 4, at) for tag, at in places.items())]
    fields += [(int(tag[1:]), 3, value) for tag, value in tags.items()]
    fields += [(273, 4, starts), (279, 4, [len(strip) for strip in strips])]
    return plain(fields, [blob, *strips])
