"""What a visitor asked the gallery for, as the words of its address; and addresses made of them."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal, get_args
from urllib.parse import unquote_to_bytes, urlencode

from service.ledger.gallery import Cursor, DecisionFilter, GalleryFilter, Order, State
from service.web.pages import Refusal

View = Literal["list", "grid"]

FIELDS = ("folder", "since", "until", "state", "decision", "model", "below", "word")
STATES: tuple[str, ...] = get_args(State)
DECISIONS: tuple[str, ...] = get_args(DecisionFilter)
VIEWS: tuple[str, ...] = get_args(View)
LONGEST = 4096  # characters of a field
MOST_JOBS = 500  # that an address lists

_ESCAPED = re.compile("[\0-\x1f\x7f%\udc80-\udcff]")  # what HTML cannot hold, and the escape
_CURSOR = re.compile(r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)_(\d{1,18})")


@dataclass(frozen=True)
class Asked:
    """An address of the gallery, understood.

    Attributes:
        given: the fields of the filter that were filled in, as they were.
        which: the filter they make.
        order: of the list.
        view: how it is shown.
        after: where the page before ended, or None.
        before: where the page behind began, or None.
        jobs: of a sample, in its order; None: the address lists none.
        among: of how many the sample was drawn.
        part: which page of the sample, from 1.
    """

    given: Mapping[str, str]
    which: GalleryFilter
    order: Order = Order.NEWEST
    view: View = "list"
    after: Cursor | None = None
    before: Cursor | None = None
    jobs: tuple[int, ...] | None = None
    among: int = 0
    part: int = 1

    def words(self, **changes: Any) -> dict[str, str]:
        """Return the words of an address that asks for the same, but for what is changed.

        Args:
            changes: other values; None or "" leaves a word out.
        """
        sample = {} if self.jobs is None else {"jobs": jobs_text(self.jobs), "among": self.among}
        all_of_it = {**self.given, "order": self.order, "view": self.view, **sample, **changes}
        defaults = {"order": Order.NEWEST, "view": "list"}
        return {
            name: str(value)
            for name, value in all_of_it.items()
            if value not in {None, ""} and value != defaults.get(name)
        }

    def link(self, path: str = "/", **changes: Any) -> str:
        """Return an address, with the words of `words`."""
        words = self.words(**changes)
        return f"{path}?{urlencode(words)}" if words else path

    def until(self, moment: float) -> dict[str, str]:
        """Return the filter's fields, without what is colored from a moment on."""
        end = moment if self.which.until is None else min(self.which.until, moment)
        return {**self.given, "until": repr(end)}


def understood(given: Mapping[str, str]) -> Asked:
    """Read the words of an address; unknown ones are ignored.

    Raises:
        Refusal: a value makes no sense.
    """
    order, view = given.get("order") or Order.NEWEST, given.get("view") or "list"
    if order not in list(Order):
        raise _senseless("order")
    if view not in VIEWS:
        raise _senseless("view")
    listed = given.get("jobs")
    return Asked(
        given={name: given[name] for name in FIELDS if given.get(name)},
        which=filter_of(given),
        order=Order(order),
        view="grid" if view == "grid" else "list",
        after=_cursor(given, "after"),
        before=_cursor(given, "before"),
        jobs=None if listed is None else job_numbers(listed),
        among=number_of(given, "among", 0, 10**9),
        part=max(1, number_of(given, "part", 1, MOST_JOBS)),
    )


def filter_of(given: Mapping[str, Any]) -> GalleryFilter:
    """Read the fields of a filter.

    Dates are days in this machine's time, `until` is the last one; or seconds since 1970.

    Raises:
        Refusal: a value makes no sense.
    """
    for name in FIELDS:
        value = given.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= LONGEST):
            raise _senseless(name)
    which = GalleryFilter(
        folder=folder_of(given["folder"]) if given.get("folder") else None,
        since=_moment(given, "since", 0),
        until=_moment(given, "until", 1),
        model=given.get("model") or None,
        below=_share(given, "below"),
        word=(given.get("word") or "").strip(),
    )
    state, decision = given.get("state"), given.get("decision")
    for known in get_args(State):
        which = replace(which, state=known) if state == known else which
    for one in get_args(DecisionFilter):
        which = replace(which, decision=one) if decision == one else which
    if state and which.state is None:
        raise _senseless("state")
    if decision and which.decision is None:
        raise _senseless("decision")
    return which


# Values and their texts


def folder_text(folder: PurePosixPath) -> str:
    """Return a folder as a field of an address, whatever bytes its name has."""
    if not folder.parts:
        return ""
    return _ESCAPED.sub(lambda found: f"%{os.fsencode(found[0])[0]:02X}", str(folder))


def folder_of(text: str) -> PurePosixPath:
    """Return the folder that `folder_text` wrote."""
    return PurePosixPath(os.fsdecode(unquote_to_bytes(text)))


def cursor_text(place: Cursor) -> str:
    """Return where a page ends or begins, as a field of an address."""
    return f"{place.value!r}_{place.job}"


def jobs_text(jobs: tuple[int, ...]) -> str:
    """Return the numbers of jobs as a field of an address."""
    return ".".join(map(str, jobs))


def job_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that `jobs_text` wrote, each once.

    Raises:
        Refusal: it is something else, or too many.
    """
    parts = text.split(".") if text else []
    if len(parts) > MOST_JOBS or not all(re.fullmatch(r"[0-9]{1,18}", part) for part in parts):
        raise _senseless("jobs")
    return tuple(dict.fromkeys(map(int, parts)))


def _cursor(given: Mapping[str, str], name: str) -> Cursor | None:
    text = given.get(name)
    if not text:
        return None
    found = _CURSOR.fullmatch(text)
    if not found or not math.isfinite(float(found[1])):
        raise _senseless(name)
    return Cursor(float(found[1]), int(found[2]))


def _moment(given: Mapping[str, str], name: str, days: int) -> float | None:
    """Return the start of a day, some days later; a number of seconds is taken as it is."""
    text = given.get(name)
    if not text:
        return None
    try:
        if re.fullmatch(r"\d{1,11}(\.\d+)?", text):
            return float(text)
        day = date.fromisoformat(text) + timedelta(days=days)
        return datetime(day.year, day.month, day.day).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise _senseless(name) from None


def _share(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name)
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        raise _senseless(name) from None
    if not 0 <= share <= 1:
        raise _senseless(name)
    return share


def number_of(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a whole number from 0 to `most`.

    Raises:
        Refusal: it is something else.
    """
    text = given.get(name)
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > most:
        raise _senseless(name)
    return int(text)


def _senseless(field: str) -> Refusal:
    return Refusal(400, "error.value", field=field)
