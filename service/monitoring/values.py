"""Types of the values that are shown to people and, by `model_dump`, to programs."""

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, SkipValidation


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# Seconds since 1970; when dumped, ISO 8601 in UTC.
Moment = Annotated[float, PlainSerializer(_utc, return_type=str)]
# Not validated, as a name may hold bytes that are not UTF-8. A path is dumped as a text.
StoredPath = Annotated[PurePath, SkipValidation, PlainSerializer(str, return_type=object)]
Text = Annotated[str, SkipValidation]


class Value(BaseModel):
    """A frozen value; pydantic compiles its class when the first one is made, not at import."""

    model_config = ConfigDict(frozen=True, defer_build=True)
