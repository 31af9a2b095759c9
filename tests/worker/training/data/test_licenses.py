"""Tables beside photographs are read, whoever wrote them."""

from pathlib import Path

import pytest

from worker.errors import ScanError
from worker.training.data.licenses import NOT_STATED, Terms, read_terms

TABLE = "path\tset\tlicense\tsource\n{prefix}a.jpg\tx\tCC0\tarchive\n{prefix}b b.jpg\tx\t\t\n"


@pytest.mark.parametrize("name", ["licenses.tsv", "index.tsv"])
@pytest.mark.parametrize(
    ("home", "prefix"), [("photos", ""), ("photos", "photos/"), (".", "photos/")]
)
def test_paths_are_relative_to_the_table_or_above_it(
    tmp_path: Path, name: str, home: str, prefix: str
) -> None:
    """A table may lie in the folder or beside it, and name paths from there or from above."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / home / name).write_text(TABLE.format(prefix=prefix))
    terms = read_terms([photos])

    assert Terms("CC0", "archive") == terms[photos / "a.jpg"]
    assert Terms(NOT_STATED, NOT_STATED) == terms[photos / "b b.jpg"]
    assert photos / "c.jpg" not in terms


def test_the_nearest_table_counts(tmp_path: Path) -> None:
    """What stands in the folder itself goes before what stands beside it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "licenses.tsv").write_text("path\tlicense\nphotos/a.jpg\tfar\n")
    (photos / "index.tsv").write_text("path\tlicense\na.jpg\tnear\n")

    assert Terms("near", NOT_STATED) == read_terms([photos])[photos / "a.jpg"]


def test_quotes_and_foreign_letters_are_only_letters(tmp_path: Path) -> None:
    """A name with a quotation mark, a BOM before the header or bytes not UTF-8 spoil no line."""
    header = "\N{ZERO WIDTH NO-BREAK SPACE}path\tlicense\n"
    lines = (header + 'a "1.jpg\tCC0\nb.jpg\tCC BY\n').encode() + b"\xff.jpg\tMIT\n"
    (tmp_path / "licenses.tsv").write_bytes(lines)
    terms = read_terms([tmp_path])

    assert "CC0" == terms[tmp_path / 'a "1.jpg'].license
    assert "CC BY" == terms[tmp_path / "b.jpg"].license
    assert "MIT" == terms[tmp_path / "\udcff.jpg"].license


def test_short_lines_are_no_trouble(tmp_path: Path) -> None:
    """A line that ends before its last column states nothing there."""
    (tmp_path / "licenses.tsv").write_text("path\tlicense\tsource\na.jpg\n\nb.jpg\tCC0\n")
    terms = read_terms([tmp_path])

    assert Terms() == terms[tmp_path / "a.jpg"]
    assert Terms("CC0") == terms[tmp_path / "b.jpg"]


def test_a_table_of_licenses_must_be_one(tmp_path: Path) -> None:
    """A licenses.tsv without its columns is refused with advice; an index.tsv may be anything."""
    (tmp_path / "index.tsv").write_text("chapter\tpage\n1\t7\n")

    assert {} == read_terms([tmp_path])
    (tmp_path / "licenses.tsv").write_text("file,license\na.jpg,CC0\n")
    with pytest.raises(ScanError, match="columns path and license"):
        read_terms([tmp_path])
