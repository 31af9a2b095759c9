"""Each suffix has a kind, and each kind one in which it comes back."""

from typing import get_args

import pytest

from worker.formats.kinds import KIND_OF_SUFFIX, RESULT_SUFFIXES, Kind, result_kind
from worker.formats.open_image import READERS
from worker.render import WRITERS
from worker.settings import OutputFormat

KINDS: tuple[Kind, ...] = get_args(Kind)
FORMATS: tuple[OutputFormat, ...] = get_args(OutputFormat)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_named_and_read(kind: Kind) -> None:
    """Each has a suffix and a reader; a suffix is lower case, as it is looked up."""
    suffixes = [suffix for suffix, named in KIND_OF_SUFFIX.items() if named == kind]

    assert suffixes
    assert suffixes == [suffix.lower() for suffix in suffixes]
    assert kind in READERS


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_result_can_be_written_and_named(kind: Kind, output: OutputFormat) -> None:
    """Whatever is dropped and whatever is set, there are a writer and a suffix for the result."""
    result = result_kind(kind, output)

    assert result in WRITERS
    assert RESULT_SUFFIXES[result]
    assert output in {"same", result}


@pytest.mark.parametrize("kind", RESULT_SUFFIXES)
def test_a_result_bears_a_suffix_of_its_kind(kind: Kind) -> None:
    """What comes out can be dropped in again: its suffixes name its kind."""
    assert {kind} == {KIND_OF_SUFFIX[suffix] for suffix in RESULT_SUFFIXES[kind]}


@pytest.mark.parametrize("kind", ["tiff", "jpeg", "png", "webp", "jp2"])
def test_what_can_hold_the_label_stays_what_it_is(kind: Kind) -> None:
    """With `same` a container that holds label and profile comes back as itself."""
    assert kind == result_kind(kind, "same")


@pytest.mark.parametrize(
    ("kind", "expected"), [("bmp", "png"), ("pnm", "png"), ("heic", "jpeg"), ("jxl", "png")]
)
def test_what_cannot_comes_back_as_the_nearest(kind: Kind, expected: Kind) -> None:
    """Lossless kinds as PNG, HEIC as JPEG."""
    assert expected == result_kind(kind, "same")
