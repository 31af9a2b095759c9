"""What a training may start from."""

import pytest

from worker.errors import ModelError
from worker.training.request import SCRATCH, start_named


def test_a_start_is_a_version_or_scratch() -> None:
    """Numbers are numbers."""
    assert [SCRATCH, "promoted", "builtin", 12] == list(
        map(start_named, ("scratch", "promoted", "builtin", "12"))
    )


@pytest.mark.parametrize("text", ["latest", "0", "-1", ""])
def test_a_start_that_is_no_version_is_a_model_error(text: str) -> None:
    """With what may be said instead."""
    with pytest.raises(ModelError, match="promoted, builtin, or a number"):
        start_named(text)
