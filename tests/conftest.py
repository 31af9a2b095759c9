"""What holds for every test: nothing of it remains, and a busy machine is no failure."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How fast examples are made and run says how busy the machine is, not whether the promise is kept.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = ["tests.support.browser"]  # its fixtures


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Take back where a command under test had the log lines go: that stream is closed by now."""
    yield
    structlog.reset_defaults()
