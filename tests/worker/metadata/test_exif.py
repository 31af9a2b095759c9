"""EXIF blocks come out of being taken apart and put together with every value as it was."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.metadata import exif, ifd
from worker.metadata.exif import MAKER_NOTE, Block
from worker.metadata.ifd import SIZES, Value

KINDS = st.sampled_from(sorted(SIZES))
VALUES = KINDS.flatmap(
    lambda kind: st.integers(0, 9).flatmap(
        lambda number: st.binary(min_size=number * SIZES[kind], max_size=number * SIZES[kind]).map(
            lambda data: Value(kind, data)
        )
    )
)
POINTERS = {exif.EXIF_POINTER, exif.GPS_POINTER, exif.INTEROP_POINTER, MAKER_NOTE}
DIRECTORIES = st.dictionaries(st.integers(0, 65535).filter(lambda tag: tag not in POINTERS), VALUES)
BLOCKS = st.builds(
    Block,
    order=st.sampled_from(["<", ">"]),
    main=DIRECTORIES,
    exif=DIRECTORIES,
    gps=DIRECTORIES,
    interop=DIRECTORIES,
)


@given(BLOCKS)
def test_what_is_written_is_read_again(block: Block) -> None:
    """Every tag, type and byte, in either byte order."""
    assert block == exif.read(exif.write(block))


@given(st.binary(max_size=200), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]))
def test_no_block_does_harm(data: bytes, start: bytes) -> None:
    """Garbage is read in part or refused by one kind of error; what is read can be written."""
    try:
        block = exif.read(start + data)
    except ValueError:
        return
    block.unreadable = 0
    again = exif.read(exif.write(block))

    assert block.main == again.main
    assert block.exif == again.exif


@given(BLOCKS, st.integers(0, 400), st.binary(min_size=5, max_size=300))
def test_the_maker_note_stands_where_it_stood(block: Block, at: int, note: bytes) -> None:
    """Its inner offsets are right only there; nothing else is laid upon it."""
    block.exif[MAKER_NOTE] = Value(ifd.UNDEFINED, note)
    block.maker_note_at = at
    data = exif.write(block).removeprefix(exif.PREFIX)
    again = exif.read(data)

    assert block.exif == again.exif
    assert block.main == again.main
    if at >= 8:
        assert note == data[at : at + len(note)]


def test_the_thumbnail_is_left_out() -> None:
    """It shows the scan, in gray."""
    block = Block("<", main={0x013B: exif.text("A. Nonymous")})
    data = exif.write(block)
    directory = data.removeprefix(exif.PREFIX)
    end = 8 + 2 + 12
    with_thumbnail = (
        directory[:end]
        + struct.pack("<I", len(directory))
        + directory[end + 4 :]
        + struct.pack("<HHHII", 1, 513, 4, 1, 4)
        + b"\xff\xd8thumbnail"
    )

    assert data == exif.write(exif.read(with_thumbnail))


def test_the_prefix_may_be_missing_or_doubled() -> None:
    """Both are seen in files."""
    block = Block(main={0x013B: exif.text("A. Nonymous")})
    data = exif.write(block).removeprefix(exif.PREFIX)

    assert block == exif.read(data) == exif.read(2 * exif.PREFIX + data)


def test_a_value_that_points_beyond_the_end_costs_only_itself() -> None:
    """The others are kept, and it is counted."""
    data = exif.write(Block(main={1: exif.text("here"), 2: exif.text("beyond the end")}))
    block = exif.read(data[:-4])

    assert {1: exif.text("here")} == block.main
    assert 1 == block.unreadable


def test_thousands_of_tags_that_share_their_bytes_are_no_bomb() -> None:
    """What is held is no more than twice the block."""
    rows = [struct.pack("<HHII", tag, ifd.UNDEFINED, 50_000, 8) for tag in range(5000)]
    data = b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    block = exif.read(data)

    assert 2 * len(data) >= sum(len(value.data) for value in block.main.values())
    assert block.unreadable >= 4990


@pytest.mark.parametrize(
    "data", [b"", b"II", b"Exif\0\0", b"II*\0\xff\0\0\0", b"\xff\xd8\xff\xe0 no block at all"]
)
def test_what_is_no_block_is_refused(data: bytes) -> None:
    """With a reason."""
    with pytest.raises(ValueError, match=r"it does not start|beyond its end"):
        exif.read(data)


def test_texts_are_utf_8_and_old_ones_latin_1() -> None:
    """As they are found."""
    assert b"K\xc3\xb6ln\0" == exif.text("Köln").data
    assert "Köln" == exif.text_of(exif.text("Köln"))
    assert "Köln" == exif.text_of(Value(ifd.ASCII, b"K\xf6ln\0\0"))
    assert "" == exif.text_of(None)


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_are_read_as_they_are_made(order: str) -> None:
    """In either byte order; a fraction is exact where it can be."""
    block = Block("<" if order == "<" else ">")

    assert 6 == block.number(block.short(6))
    assert 70_000 == block.number(block.long(70_000))
    assert struct.pack(f"{order}II", 5999, 10) == block.rational(599.9).data
    assert block.number(exif.text("6")) is None
