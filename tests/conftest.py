"""What every test leaves as it found it."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Take back where a command under test had the log lines go: that stream is closed by now."""
    yield
    structlog.reset_defaults()
