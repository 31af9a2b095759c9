"""The registry: every format can be read, every result written and named."""

import importlib
from pathlib import Path

import pytest

from worker.formats import registry
from worker.formats.registry import BY_SUFFIX, FORMATS, format_of, output_formats, result_format

READABLE = [one for one in FORMATS.values() if one.reader]
WRITABLE = [one for one in FORMATS.values() if one.writer]


@pytest.mark.parametrize("one", READABLE, ids=lambda one: one.name)
def test_every_readable_format_has_suffixes_and_code(one: registry.ImageFormat) -> None:
    """Suffixes are lower case, as they are looked up; the code that the row names exists."""
    suffixes = one.suffixes + one.scan_suffixes

    assert suffixes
    assert suffixes == tuple(suffix.lower() for suffix in suffixes)
    for place in filter(None, (one.reader, one.writer)):
        module, _, name = place.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("output", output_formats())
@pytest.mark.parametrize("one", READABLE, ids=lambda one: one.name)
def test_every_result_can_be_written_and_named(one: registry.ImageFormat, output: str) -> None:
    """Whatever is dropped and whatever is set, the result has a writer, a name and a MIME type."""
    result = result_format(one, output)

    assert result.writer
    assert result.suffixes
    assert result.mime.startswith("image/")
    assert output in {"same", result.name}


@pytest.mark.parametrize("one", WRITABLE, ids=lambda one: one.name)
def test_a_written_format_can_be_read_again(one: registry.ImageFormat) -> None:
    """What comes out can be dropped in again, and keeps its format."""
    assert one.reader
    assert {one} == {BY_SUFFIX[suffix] for suffix in one.suffixes}
    assert one is result_format(one, "same")


@pytest.mark.parametrize(
    ("name", "expected"), [("bmp", "png"), ("pnm", "png"), ("heic", "jpeg"), ("jxl", "png")]
)
def test_a_format_that_cannot_be_written_is_replaced(name: str, expected: str) -> None:
    """Lossless formats come back as PNG, HEIC as JPEG."""
    assert expected == result_format(FORMATS[name], "same").name


def test_output_formats_are_those_of_the_documentation() -> None:
    """In the order in which messages list them."""
    assert ("same", "tiff", "png", "jpeg") == output_formats()


@pytest.mark.parametrize("name", ["a.TIF", "a.tif", "b/a.x.Tif"])
def test_a_suffix_is_looked_up_in_any_case(name: str) -> None:
    """Cameras write upper case."""
    assert FORMATS["tiff"] is format_of(Path(name))
    assert format_of(Path(name + ".gif")) is None


@pytest.mark.parametrize("one", [FORMATS["png"], registry.ImageFormat("new", "", b"", (".tif",))])
def test_no_name_or_suffix_has_two_formats(one: registry.ImageFormat) -> None:
    """A second format of the same name or suffix is a mistake in the table."""
    with pytest.raises(ValueError, match="taken"):
        registry.register(one)
