"""Decisions of people on results, and who is looking at which; each change is durable at once.

Deciding changes no file: it marks the job with `review_owed`, and the daemon writes the decision to
the sidecar and delivers a held result that was approved.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from service.ledger.database import Database, Row
from service.ledger.gallery import (
    GalleryFilter,
    GalleryQueries,
    Order,
    cursor,
    decision_record,
)
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.ledger.rows import storable
from service.ledger.schema import COLORED

DECIDE = f"""
INSERT INTO decisions (batch, job, event, decision, before, reason, note, who, decided_at)
SELECT ?, id, event, ?, decision, ?, ?, ?, ? FROM jobs WHERE id = ? AND {COLORED}
RETURNING id
"""  # noqa: S608 - of a constant
SET_DECISION = """
UPDATE jobs SET decision = ?, review_owed = 1, review_problem = NULL WHERE id = ?
"""
# What was decided after it, or on another coloring, is not undone with it.
UNDO = """
UPDATE jobs SET decision = ?, review_owed = 1, review_problem = NULL
WHERE id = ? AND event IS ? AND NOT EXISTS (
    SELECT 1 FROM decisions WHERE job = jobs.id AND id > ? AND undone_at IS NULL
)
"""


class Reviews:
    """The part of a ledger that reviewers change; errors are those of `Ledger`."""

    def __init__(self, database: Database) -> None:
        """Write to an open file."""
        self._database = database
        self._gallery = GalleryQueries(database)

    def decide(
        self,
        job_ids: Iterable[int],
        decision: Decision | None,
        *,
        who: str,
        now: float,
        reason: str = "",
        note: str = "",
    ) -> int:
        """Record one decision on results, in one transaction; jobs without a result are skipped.

        Args:
            job_ids: which.
            decision: None opens them again.
            who: name of the person.
            now: seconds since 1970.
            reason: why, or "".
            note: further words, or "".

        Returns:
            On how many it was recorded.
        """
        with self._database.transaction():
            return self._decide(job_ids, decision, (reason, note, who), now)

    def decide_all(
        self,
        which: GalleryFilter,
        expected: int,
        decision: Decision | None,
        *,
        who: str,
        now: float,
        reason: str = "",
        note: str = "",
    ) -> int | None:
        """Record one decision on all results of a filter, if they are as many as the person saw.

        Args:
            which: results.
            expected: their number, as it was shown.
            decision: None opens them again.
            who: name of the person.
            now: seconds since 1970.
            reason: why, or "".
            note: further words, or "".

        Returns:
            On how many it was recorded; None if there are more or fewer now, and nothing was.
        """
        with self._database.transaction():
            job_ids = self._gallery.ids(which)
            if len(job_ids) != expected:
                return None
            return self._decide(job_ids, decision, (reason, note, who), now)

    def _decide(
        self,
        job_ids: Iterable[int],
        decision: Decision | None,
        words: tuple[str, str, str],
        now: float,
    ) -> int:
        batch, texts, decided = self._next_id(), [*map(storable, words)], 0
        for job_id in job_ids:
            if self._rows(DECIDE, batch, decision, *texts, now, job_id):
                self._rows(SET_DECISION, decision, job_id)
                self._rows("DELETE FROM claims WHERE job = ?", job_id)
                decided += 1
        return decided

    def add_note(self, job_id: int, note: str, *, who: str, now: float) -> bool:
        """Record words on a result whose decision stays; tell whether there is such a result."""
        with self._database.transaction():
            rows = self._rows(f"SELECT decision FROM jobs WHERE id = ? AND {COLORED}", job_id)  # noqa: S608
            if rows:
                values = (self._next_id(), rows[0]["decision"], "", storable(note), storable(who))
                self._rows(DECIDE, *values, now, job_id)
                self._rows("UPDATE jobs SET review_owed = 1 WHERE id = ?", job_id)
        return bool(rows)

    def undo(self, who: str, now: float) -> list[DecisionRecord]:
        """Undo what a person decided last, all that was decided together.

        Where a result was decided on again by anyone, or recolored, that stands.

        Returns:
            What was undone; empty if there is nothing.
        """
        with self._database.transaction():
            last = self._rows(
                "SELECT batch FROM decisions WHERE who = ? AND undone_at IS NULL"
                " ORDER BY id DESC LIMIT 1",
                storable(who),
            )
            if not last:
                return []
            rows = self._rows(
                "UPDATE decisions SET undone_at = ? WHERE batch = ? AND undone_at IS NULL"
                " RETURNING *",
                now,
                last[0]["batch"],
            )
            for row in rows:
                self._rows(UNDO, row["before"], row["job"], row["event"], row["id"])
        return [decision_record(row) for row in rows]

    def claim_next(
        self,
        which: GalleryFilter,
        order: Order,
        after: Job | None,
        *,
        who: str,
        now: float,
        seconds: float,
    ) -> Job | None:
        """Give a reviewer the next open result that nobody else is looking at.

        Args:
            which: results; those decided on are left out.
            order: of the results.
            after: begins behind this one; at the end it begins again from the first.
            who: name of the reviewer, whose earlier claims end.
            now: seconds since 1970.
            seconds: how long it stays theirs.

        Returns:
            The result, or None if nothing is open.
        """
        open_ones = replace(which, decision="open")
        with self._database.transaction():
            self._rows("DELETE FROM claims WHERE until <= ? OR who = ?", now, storable(who))
            taken = {row["job"] for row in self._rows("SELECT job FROM claims")}
            starts = [None] if after is None else [cursor(after, order), None]
            for start in starts:
                page = self._gallery.page(open_ones, order, start, limit=len(taken) + 2)
                free = [job for job in page if job.id not in taken and job != after]
                if free:
                    self._claim(free[0].id, who, now + seconds)
                    return free[0]
        return None

    def claim(self, job_id: int, *, who: str, now: float, seconds: float) -> str | None:
        """Give a reviewer a result they ask for, unless another is looking at it.

        Returns:
            The name of the other, or None.
        """
        with self._database.transaction():
            self._rows("DELETE FROM claims WHERE until <= ?", now)
            held = self._rows("SELECT who FROM claims WHERE job = ?", job_id)
            if held and held[0]["who"] != storable(who):
                return str(held[0]["who"])
            self._claim(job_id, who, now + seconds)
        return None

    def release(self, job_id: int | None, who: str) -> None:
        """End a reviewer's claim on a result, if it is theirs; None: all their claims."""
        with self._database.transaction():
            sql = "DELETE FROM claims WHERE who = ? AND job = coalesce(?, job)"
            self._rows(sql, storable(who), job_id)

    def release_held(self, job_id: int, event: str | None) -> None:
        """Record that a held result is in the outbox now, unless it was colored again meanwhile."""
        sql = "UPDATE jobs SET held = 0, delivered_digest = NULL, delivered_event = NULL"
        with self._database.transaction():
            self._rows(f"{sql} WHERE id = ? AND held AND event IS ?", job_id, event)

    def carried_out(self, job_id: int, seen: list[DecisionRecord]) -> bool:
        """Record that the daemon did all that the decisions on a result ask for.

        Args:
            job_id: of the result.
            seen: all decisions that it knew (`GalleryQueries.decisions_of`).

        Returns:
            False if they have changed since; there is more to do then.
        """
        with self._database.transaction():
            if self._gallery.decisions_of(job_id) != seen:
                return False
            sql = "UPDATE jobs SET review_owed = 0, review_problem = NULL WHERE id = ?"
            self._rows(sql, job_id)
        return True

    def note_problem(self, job_id: int, reason: str) -> None:
        """Record why the decision on a result cannot be carried out until a person acts."""
        with self._database.transaction():
            sql = "UPDATE jobs SET review_problem = ? WHERE id = ? AND review_owed"
            self._rows(sql, storable(reason), job_id)

    def owe(self, job_id: int) -> None:
        """Have the daemon look at a result again; inside `Ledger.transaction`."""
        self._rows("UPDATE jobs SET review_owed = 1 WHERE id = ?", job_id)

    def restore(self, job_id: int, records: Iterable[DecisionRecord]) -> None:
        """Insert decisions that a sidecar tells of, under new ids; inside `Ledger.transaction`.

        Args:
            job_id: of the restored result.
            records: in their order; id, batch and job are ignored.
        """
        last = None
        for one in records:
            texts = map(storable, (one.reason, one.note, one.who))
            values = (self._next_id(), one.decision, *texts, one.decided_at, job_id)
            self._rows(DECIDE, *values)
            last = one.decision
            self._rows("UPDATE jobs SET decision = ? WHERE id = ?", last, job_id)

    def mark_fetched(self, job_ids: Iterable[int], moment: float | None) -> int:
        """Record that results were taken out of the outbox; None: that they are in it.

        Of a result that is held, its earlier result is meant.

        Returns:
            How many changed.
        """
        sql = f"UPDATE jobs SET fetched_at = ? WHERE id = ? AND {COLORED} AND NOT held"  # noqa: S608
        sql += " AND (fetched_at IS NULL) = (? IS NOT NULL) RETURNING id"
        earlier = "UPDATE jobs SET delivered_digest = NULL, delivered_event = NULL WHERE id = ?"
        earlier += " AND held AND delivered_digest IS NOT NULL AND ? IS NOT NULL RETURNING id"
        changed = 0
        with self._database.transaction():
            for number in job_ids:
                changed += len(self._rows(sql, moment, number, moment))
                changed += len(self._rows(earlier, number, moment))
        return changed

    def _claim(self, job_id: int, who: str, until: float) -> None:
        sql = "INSERT INTO claims (job, who, until) VALUES (?, ?, ?)"
        sql += " ON CONFLICT (job) DO UPDATE SET who = excluded.who, until = excluded.until"
        self._rows(sql, job_id, storable(who), until)

    def _next_id(self) -> int:
        """Return the id of the next decision, which names a batch."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'decisions'")
        return int(rows[0]["seq"]) + 1 if rows else 1

    def _rows(self, sql: str, *values: Any) -> list[Row]:
        return self._database.rows(sql, *values)
