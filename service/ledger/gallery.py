"""Read-only questions about results, for people who look through them: page by page.

A page begins where the one before ended (keyset pagination), so the last of a thousand pages takes
as long as the first, and no photograph is shown twice because another one came.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from service.ledger.conditions import named, range_of
from service.ledger.database import Database
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.ledger.rows import decision_of, job_of_row
from service.ledger.schema import COLORED

State = Literal["delivered", "held", "fetched", "recoloring"]
DecisionFilter = Literal["open", "decided", "approved", "rejected", "flagged"]

_STATES = {
    "delivered": "NOT held AND fetched_at IS NULL",
    "held": "held",
    "fetched": "fetched_at IS NOT NULL",
    "recoloring": "recolor",
}
_OWING = "jobs INDEXED BY jobs_owing_review WHERE review_owed"  # asked by the daemon all the time
_DECISIONS = {"open": "decision IS NULL", "decided": "decision IS NOT NULL"}


class Order(StrEnum):
    """In which order results are shown."""

    NEWEST = "newest"
    OLDEST = "oldest"
    CONFIDENCE = "confidence"  # the least confident first; unknown ones last
    CHANGE = "change"  # the most changed by being recolored first


_ORDERS = {  # column or expression, as its index has it; and direction
    Order.NEWEST: ("colored_at", "DESC"),
    Order.OLDEST: ("colored_at", "ASC"),
    Order.CONFIDENCE: ("coalesce(confidence, 2)", "ASC"),
    Order.CHANGE: ("coalesce(change, -1)", "DESC"),
}


class Cursor(NamedTuple):
    """Where a page ended: the value it is ordered by, and the job's id."""

    value: float
    job: int


class Tally(NamedTuple):
    """How far the review of results is.

    Attributes:
        decisions: how many were decided on how; None: open.
        held: how many wait outside the outbox for approval.
    """

    decisions: dict[Decision | None, int]
    held: int

    @property
    def results(self) -> int:
        """How many there are."""
        return sum(self.decisions.values())

    @property
    def decided(self) -> int:
        """How many were decided on."""
        return self.results - self.decisions[None]


@dataclass(frozen=True)
class GalleryFilter:
    """Which results; a field that is None, or "", leaves none out.

    Attributes:
        folder: in the inbox; with all below it.
        since: colored at or after this, seconds since 1970.
        until: colored before this.
        state: where the result is.
        decision: what was decided on it.
        model: the version that colored it.
        below: confidence less than this.
        word: contained in the path of scan or result.
    """

    folder: PurePosixPath | None = None
    since: float | None = None
    until: float | None = None
    state: State | None = None
    decision: DecisionFilter | None = None
    model: str | None = None
    below: float | None = None
    word: str = ""


EVERYTHING = GalleryFilter()
INBOX = PurePosixPath()  # the inbox itself, as a path in it


class GalleryQueries:
    """Results and the decisions on them; errors are those of `Ledger`.

    A ledger of an earlier release that was not upgraded yet has none.
    """

    def __init__(self, database: Database) -> None:
        """Read an open file."""
        self._database = database

    def page(
        self,
        which: GalleryFilter = EVERYTHING,
        order: Order = Order.NEWEST,
        after: Cursor | None = None,
        limit: int = 20,
        *,
        before: Cursor | None = None,
    ) -> list[Job]:
        """List results in an order, from where the page before ended.

        Args:
            which: results.
            order: of the list.
            after: `cursor` of the last job of the page before; None: the first page.
            limit: maximum number.
            before: instead, `cursor` of the first job of the page behind; gives the last ones
                before it, in the same order.
        """
        if self._database.outdated:
            return []
        column, direction = _ORDERS[order]
        if before is not None:
            direction = "ASC" if direction == "DESC" else "DESC"
        start = before or after
        where, values = _condition(which)
        if start is not None:
            sign = "<" if direction == "DESC" else ">"
            where, values = f"{where} AND ({column}, id) {sign} (?, ?)", [*values, *start]
        ordered = f"ORDER BY {column} {direction}, id {direction}"
        # The ids first: where no index has the order, whole rows would be sorted.
        first = f"SELECT id FROM jobs WHERE {where} {ordered} LIMIT ?"  # noqa: S608 - of constants
        sql = f"SELECT * FROM jobs WHERE id IN ({first}) {ordered}"  # noqa: S608
        found = [job_of_row(row) for row in self._database.rows(sql, *values, limit)]
        return found if before is None else found[::-1]

    def count(self, which: GalleryFilter = EVERYTHING) -> int:
        """Count results."""
        if self._database.outdated:
            return 0
        where, values = _condition(which)
        sql = f"SELECT count(*) AS n FROM jobs WHERE {where}"  # noqa: S608
        return int(self._database.rows(sql, *values)[0]["n"])

    def ids(self, which: GalleryFilter = EVERYTHING) -> list[int]:
        """List the jobs of results by id."""
        if self._database.outdated:
            return []
        where, values = _condition(which)
        sql = f"SELECT id FROM jobs WHERE {where} ORDER BY id"  # noqa: S608
        return [row["id"] for row in self._database.rows(sql, *values)]

    def tally(self, which: GalleryFilter = EVERYTHING) -> Tally:
        """Count results by what was decided on them, and those that are held."""
        decisions: dict[Decision | None, int] = dict.fromkeys((None, *Decision), 0)
        held = 0
        if not self._database.outdated:
            where, values = _condition(which, time="+colored_at")  # has the index of decisions used
            sql = f"SELECT decision, held, count(*) AS n FROM jobs WHERE {where}"  # noqa: S608
            for row in self._database.rows(f"{sql} GROUP BY decision, held", *values):
                decisions[decision_of(row["decision"])] += row["n"]
                held += row["n"] if row["held"] else 0
        return Tally(decisions, held)

    def decision_counts(self) -> dict[Decision | None, int]:
        """Count the results by what was decided on them; None: open."""
        return self.tally().decisions

    def held_count(self) -> int:
        """Count the results that wait outside the outbox for approval."""
        if self._database.outdated:
            return 0
        sql = f"SELECT count(*) AS n FROM jobs INDEXED BY jobs_held WHERE held AND {COLORED}"  # noqa: S608
        return int(self._database.rows(sql)[0]["n"])

    def held_open_count(self) -> int:
        """Count those of them that nobody has decided on."""
        if self._database.outdated:
            return 0
        sql = "SELECT count(*) AS n FROM jobs INDEXED BY jobs_by_decision"
        rows = self._database.rows(f"{sql} WHERE decision IS NULL AND held = 1 AND {COLORED}")
        return int(rows[0]["n"])

    def owing_review_count(self) -> int:
        """Count the results whose decision the daemon has yet to carry out."""
        if self._database.outdated:
            return 0
        sql = f"SELECT count(*) AS n FROM {_OWING} AND {COLORED}"  # noqa: S608
        return int(self._database.rows(sql)[0]["n"])

    def owing_review(self, limit: int = -1) -> list[Job]:
        """List the jobs whose decision the daemon has yet to carry out, and can now.

        Not those in work: what was decided is on the result that they are about to replace.
        """
        if self._database.outdated:
            return []
        where = f"{COLORED} AND status != 'started'"
        sql = f"SELECT * FROM {_OWING} AND {where} ORDER BY id LIMIT ?"  # noqa: S608
        return [job_of_row(row) for row in self._database.rows(sql, limit)]

    def news(self) -> tuple[float, ...]:
        """Return numbers that change when a result does, or what was decided on one; quick."""
        if self._database.outdated:
            return ()
        last = "(SELECT coalesce(max(id), 0) FROM decisions)"
        # Counted, as the time of the last one does not change where a clock was set back.
        undone = "(SELECT count(*) FROM decisions WHERE undone_at IS NOT NULL)"
        [row] = self._database.rows(f"SELECT {last} AS last, {undone} AS undone")
        newest = [number for job in self.page(limit=1) for number in (job.id, job.colored_at or 0)]
        counts = (self.held_count(), self.owing_review_count())
        return (*newest, *counts, row["last"], row["undone"])

    def folders(
        self, within: PurePosixPath = INBOX, limit: int | None = None
    ) -> list[PurePosixPath]:
        """List the folders directly in a folder of the inbox that contain scans, however deep.

        Args:
            within: this folder.
            limit: maximum number; None: all.
        """
        prefix = os.fsencode(within) + b"/" if within.parts else b""
        found: list[PurePosixPath] = []
        last = prefix
        sql = "SELECT path FROM jobs WHERE path > ? ORDER BY path LIMIT 1"
        while len(found) != limit and (rows := self._database.rows(sql, last)):
            path = bytes(rows[0]["path"])
            if not path.startswith(prefix):
                break
            name, slash, _ = path[len(prefix) :].partition(b"/")
            if slash:
                found.append(PurePosixPath(os.fsdecode(prefix + name)))
            last = prefix + name + b"0" if slash else path  # "0" follows "/" in ASCII
        return found

    def models(self) -> list[str]:
        """List the versions that colored the present results."""
        if self._database.outdated:
            return []
        found: list[str] = []
        sql = f"SELECT min(model) AS model FROM jobs WHERE {COLORED} AND model > ?"  # noqa: S608
        while (
            model := self._database.rows(sql, found[-1] if found else "")[0]["model"]
        ) is not None:
            found.append(model)
        return found

    def decisions_of(self, job_id: int) -> list[DecisionRecord]:
        """List the decisions on a job's results, the undone ones too, in their order."""
        if self._database.outdated:
            return []
        sql = "SELECT * FROM decisions WHERE job = ? ORDER BY id"
        return [decision_record(row) for row in self._database.rows(sql, job_id)]

    def decisions(self) -> Iterator[DecisionRecord]:
        """Yield all decisions that stand, in their order, in portions."""
        last = 0
        sql = "SELECT * FROM decisions WHERE undone_at IS NULL AND id > ? ORDER BY id LIMIT 500"
        while not self._database.outdated and (rows := self._database.rows(sql, last)):
            yield from map(decision_record, rows)
            last = rows[-1]["id"]


def cursor(job: Job, order: Order) -> Cursor:
    """Return where a page ends that has this job last."""
    if order is Order.CONFIDENCE:
        return Cursor(2.0 if job.confidence is None else job.confidence, job.id)
    if order is Order.CHANGE:
        return Cursor(-1.0 if job.change is None else job.change, job.id)
    return Cursor(job.colored_at or 0.0, job.id)


def decision_record(row: dict[str, Any]) -> DecisionRecord:
    """Return the decision of a row."""
    decisions = {name: decision_of(row[name]) for name in ("decision", "before")}
    return DecisionRecord(**{**row, **decisions})


def _condition(which: GalleryFilter, time: str = "colored_at") -> tuple[str, list[Any]]:
    """Return the condition of a filter, and its values.

    Args:
        which: the filter.
        time: the column; "+colored_at" keeps SQLite from searching by it.
    """
    tests = [COLORED]
    values: list[Any] = []
    if which.folder is not None and which.folder.parts:
        tests.append("path > ? AND path < ?")
        values += range_of(which.folder)
    for test, value in (
        (f"{time} >= ?", which.since),
        (f"{time} < ?", which.until),
        ("model = ?", which.model),
        ("confidence < ?", which.below),
    ):
        if value is not None:
            tests.append(test)
            values.append(value)
    if which.state:
        tests.append(_STATES[which.state])
    if which.decision in _DECISIONS:
        tests.append(_DECISIONS[which.decision])
    elif which.decision:
        tests.append("decision = ?")
        values.append(which.decision)
    if which.word:
        test, words = named(which.word, ("path", "output"))
        tests.append(f"({test})")
        values += words
    return " AND ".join(tests), values
