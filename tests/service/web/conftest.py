"""An archive that the real daemon has colored, for the tests of the page that shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.light_table import LightTable, colored_archive, shown


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests on the archive time to color it, as whichever comes first does."""
    for item in items:
        is_here = Path(__file__).parent in item.path.parents
        if is_here and "archive" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Color an archive, once; tests that change it do so in a copy."""
    return colored_archive(tmp_path_factory.mktemp("archive") / "home")


@pytest.fixture(scope="module")
def table(archive: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightTable]:
    """Serve a copy of the archive to the tests of a module."""
    with shown(archive, tmp_path_factory.mktemp("table") / "home") as one:
        yield one
