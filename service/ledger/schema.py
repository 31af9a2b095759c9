"""The ledger's schema, version by version, and its longer statements; SQL for SQLite."""

# Paths are stored as bytes, because file names need not be UTF-8. A failed job has no result, so
# its output's name is free.
VERSION_1 = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL,
    digest TEXT NOT NULL,
    output BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL,
    device TEXT NOT NULL,
    same_content_as INTEGER REFERENCES jobs (id),
    status TEXT NOT NULL CHECK (status IN ('queued', 'started', 'finished', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    waits INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    model TEXT,
    not_before REAL NOT NULL,
    queued_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    UNIQUE (path, digest)
);
CREATE UNIQUE INDEX jobs_by_output ON jobs (output) WHERE status != 'failed';
CREATE INDEX jobs_by_digest ON jobs (digest);
CREATE INDEX jobs_by_status ON jobs (status, finished_at);
"""

# `original`: where the original was moved to. `recolor`: set from the moment a colored photo is
# queued again until it is finished; such a job owns its output even when failed, because the
# earlier result is still there. `serving`: one row, the model in use.
VERSION_2 = """
ALTER TABLE jobs ADD COLUMN original BLOB;
ALTER TABLE jobs ADD COLUMN recolor INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_by_output;
CREATE UNIQUE INDEX jobs_by_output ON jobs (output) WHERE status != 'failed' OR recolor;
CREATE INDEX jobs_by_turn ON jobs (status, recolor, id);
CREATE TABLE serving (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    model TEXT NOT NULL,
    refused TEXT,
    refused_because TEXT
);
"""

# The result's SHA-256, and the UUID of the coloring in its sidecar; NULL for photos of an earlier
# photochrom.
VERSION_3 = """
ALTER TABLE jobs ADD COLUMN output_digest TEXT;
ALTER TABLE jobs ADD COLUMN event TEXT;
"""

# The number of jobs of each status, kept by triggers: counting a million rows takes 60 ms, and the
# daemon asks all the time. Partial indexes for the oldest waiting job, and for the copies of a
# forgotten scan.
VERSION_4 = """
CREATE TABLE counts (status TEXT PRIMARY KEY, jobs INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts VALUES ('queued', 0), ('started', 0), ('finished', 0), ('failed', 0);
UPDATE counts SET jobs = (SELECT count(*) FROM jobs WHERE jobs.status = counts.status);
CREATE TRIGGER jobs_counted_in AFTER INSERT ON jobs BEGIN
    UPDATE counts SET jobs = jobs + 1 WHERE status = new.status;
END;
CREATE TRIGGER jobs_counted_out AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE status = old.status;
END;
CREATE TRIGGER jobs_counted_on AFTER UPDATE OF status ON jobs WHEN old.status != new.status BEGIN
    UPDATE counts SET jobs = jobs + iif(status = new.status, 1, -1)
    WHERE status IN (old.status, new.status);
END;
CREATE INDEX jobs_by_wait ON jobs (queued_at, id) WHERE status = 'queued';
CREATE INDEX jobs_by_first ON jobs (same_content_as) WHERE same_content_as IS NOT NULL;
"""

# Whether the new result may replace a file with its name that was altered.
VERSION_5 = """
ALTER TABLE jobs ADD COLUMN repair INTEGER NOT NULL DEFAULT 0;
"""

# The smallest waiting scans: a nearly full disk may still have room for them.
VERSION_6 = """
CREATE INDEX jobs_by_size ON jobs (size, id) WHERE status = 'queued';
"""

# A scan that gained pages after its result was delivered is a new job, which takes over the output;
# the earlier job refers to it.
VERSION_7 = """
ALTER TABLE jobs ADD COLUMN superseded_by INTEGER;
DROP INDEX jobs_by_output;
CREATE UNIQUE INDEX jobs_by_output ON jobs (output)
    WHERE (status != 'failed' OR recolor) AND superseded_by IS NULL;
CREATE INDEX jobs_superseded ON jobs (superseded_by) WHERE superseded_by IS NOT NULL;
"""

# JSON objects of `FolderSettings` with the keys that were set: by the folder's photochrom.yaml when
# the scan was queued, and for this photo alone.
VERSION_8 = """
ALTER TABLE jobs ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN asked TEXT NOT NULL DEFAULT '{}';
"""

# Whether XMP files have yet to follow their scan; set before the scan is moved.
VERSION_9 = """
ALTER TABLE jobs ADD COLUMN xmp_owed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_owing ON jobs (id) WHERE xmp_owed;
"""

# Review. `confidence` and `change` are of the present result, `colored_at` when it was made (unlike
# `finished_at`, it stays while the photo is recolored). `decision`: what a person decided on it.
# `held`: it waits outside the outbox for approval. `review_owed`: the daemon has yet to write the
# decision to the sidecar, and to deliver a held result that was approved. `fetched_at`: when it was
# taken out of the outbox. `decisions`: the log; those made together share a `batch`, and `event` is
# the coloring that was judged. `claims`: which photo a reviewer is looking at.
VERSION_10 = """
ALTER TABLE jobs ADD COLUMN confidence REAL;
ALTER TABLE jobs ADD COLUMN change REAL;
ALTER TABLE jobs ADD COLUMN colored_at REAL;
ALTER TABLE jobs ADD COLUMN decision TEXT;
ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN review_owed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN fetched_at REAL;
UPDATE jobs SET colored_at = coalesce(finished_at, started_at, queued_at)
    WHERE status = 'finished' OR recolor;
CREATE INDEX jobs_by_coloring ON jobs (colored_at, id)
    WHERE colored_at IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX jobs_by_confidence ON jobs (coalesce(confidence, 2), id)
    WHERE colored_at IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX jobs_by_change ON jobs (coalesce(change, -1), id)
    WHERE colored_at IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX jobs_by_decision ON jobs (decision, held, colored_at, id)
    WHERE colored_at IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX jobs_by_model ON jobs (model)
    WHERE colored_at IS NOT NULL AND superseded_by IS NULL;
CREATE INDEX jobs_owing_review ON jobs (id) WHERE review_owed;
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    job INTEGER NOT NULL,
    event TEXT,
    decision TEXT,
    before TEXT,
    reason TEXT NOT NULL,
    note TEXT NOT NULL,
    who TEXT NOT NULL,
    decided_at REAL NOT NULL,
    undone_at REAL
);
CREATE INDEX decisions_by_job ON decisions (job, id);
CREATE INDEX decisions_by_batch ON decisions (batch);
CREATE INDEX decisions_by_person ON decisions (who, id) WHERE undone_at IS NULL;
CREATE TABLE claims (
    job INTEGER PRIMARY KEY,
    who TEXT NOT NULL,
    until REAL NOT NULL
);
CREATE TRIGGER jobs_reviewed_out AFTER DELETE ON jobs BEGIN
    DELETE FROM decisions WHERE job = old.id;
    DELETE FROM claims WHERE job = old.id;
END;
"""

# The earlier result that stays in the outbox while the present one is held: its SHA-256, "" if that
# is not known, and its coloring's UUID. Held ones have an index: the daemon counts them often.
VERSION_11 = """
ALTER TABLE jobs ADD COLUMN delivered_digest TEXT;
ALTER TABLE jobs ADD COLUMN delivered_event TEXT;
CREATE INDEX jobs_held ON jobs (id) WHERE held;
"""

# Why the daemon cannot carry out what was decided on a result until a person acts; NULL: it can.
# When a decision was undone last, which open pages ask all the time.
VERSION_12 = """
ALTER TABLE jobs ADD COLUMN review_problem TEXT;
CREATE INDEX decisions_by_undoing ON decisions (undone_at) WHERE undone_at IS NOT NULL;
"""

# What is about to get a name in the outbox: SHA-256 of the result and UUID of its coloring, of each
# attempt until the job is finished. After a kill the job may replace these files.
VERSION_13 = """
ALTER TABLE jobs ADD COLUMN in_delivery TEXT NOT NULL DEFAULT '';
"""

MIGRATIONS = (
    VERSION_1,
    VERSION_2,
    VERSION_3,
    VERSION_4,
    VERSION_5,
    VERSION_6,
    VERSION_7,
    VERSION_8,
    VERSION_9,
    VERSION_10,
    VERSION_11,
    VERSION_12,
    VERSION_13,
)  # each migrates from the version before it

COLORED = "colored_at IS NOT NULL AND superseded_by IS NULL"  # has a result, held or delivered

OWNS_OUTPUT = "(status != 'failed' OR recolor)"  # unless superseded

ENQUEUE = """
INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,
    settings, not_before, queued_at, same_content_as)
VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?,
    (SELECT min(id) FROM jobs WHERE path != ? AND digest = ?))
ON CONFLICT (path, digest) DO UPDATE SET  -- it had failed
    output = iif(recolor, output, excluded.output),
    output_digest = iif(recolor, output_digest, NULL), event = iif(recolor, event, NULL),
    held = held AND recolor, delivered_digest = iif(recolor, delivered_digest, NULL),
    delivered_event = iif(recolor, delivered_event, NULL),
    fetched_at = iif(recolor, fetched_at, NULL), size = excluded.size,
    mtime_ns = excluded.mtime_ns, inode = excluded.inode, device = excluded.device,
    settings = excluded.settings,
    status = excluded.status, not_before = excluded.not_before, queued_at = excluded.queued_at,
    attempts = 0, waits = 0, reason = NULL, started_at = NULL, finished_at = NULL
RETURNING *
"""

SEEN_AGAIN = """
UPDATE jobs SET size = ?, mtime_ns = ?, inode = ?, device = ? WHERE id = ? RETURNING *
"""

RESTORE = """
INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status, reason, model,
    not_before, queued_at, started_at, finished_at, original, output_digest, event, superseded_by,
    settings, confidence, change, colored_at, decision, held, delivered_digest, delivered_event)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
LINK_SAME_CONTENTS = """
UPDATE jobs SET same_content_as = (
    SELECT min(other.id) FROM jobs AS other WHERE other.digest = jobs.digest
        AND other.path != jobs.path AND other.id < jobs.id
)
"""

RECOLOR = """
UPDATE jobs SET status = 'queued', recolor = 1, repair = ?, not_before = ?, queued_at = ?,
    attempts = 0, waits = 0, reason = NULL, started_at = NULL, finished_at = NULL
WHERE id = ? AND (status = 'finished' OR status = 'failed' AND recolor) AND superseded_by IS NULL
RETURNING *
"""

# A job that was attempted before, and is started alone.
ALONE = "SELECT 1 FROM jobs WHERE status = 'started' AND attempts > 1 LIMIT 1"
CLAIM = "UPDATE jobs SET status = 'started', attempts = attempts + 1, started_at = ? WHERE id = ?"
NOTE_DELIVERY = """
UPDATE jobs SET in_delivery = in_delivery || ? WHERE id = ? AND status IN ('queued', 'started')
"""

SUPERSEDE = """
UPDATE jobs SET superseded_by = ?
WHERE id = ? AND status = 'finished' AND superseded_by IS NULL RETURNING *
"""
TAKE_OVER = """
UPDATE jobs SET
    (output, output_digest, event, held, delivered_digest, delivered_event, fetched_at) = (
        SELECT output, output_digest, event, held, delivered_digest, delivered_event, fetched_at
        FROM jobs WHERE id = ?
    )
WHERE id = ? AND status = 'started' AND NOT recolor RETURNING *
"""
FINISH = """
UPDATE jobs SET status = 'finished', recolor = 0, repair = 0, model = :model, reason = NULL,
    finished_at = :now, colored_at = :now, output_digest = :output_digest, event = :event,
    confidence = :confidence, change = :change, held = :held,
    delivered_digest = CASE
        WHEN NOT :held THEN NULL
        WHEN held THEN iif(repair AND delivered_digest IS NOT NULL, '', delivered_digest)
        WHEN fetched_at IS NULL AND (recolor OR output_digest IS NOT NULL)
            THEN iif(repair, '', coalesce(output_digest, ''))
    END,
    delivered_event = CASE
        WHEN NOT :held THEN NULL WHEN held THEN delivered_event
        WHEN fetched_at IS NULL THEN event
    END,
    decision = NULL, review_owed = 0, review_problem = NULL, fetched_at = NULL, in_delivery = ''
WHERE id = :id AND status = 'started' RETURNING *
"""
# A shorter result in the outbox that was not replaced yet, because the longer one is held.
STAND_AGAIN_BESIDE = """
UPDATE jobs SET superseded_by = NULL
WHERE path = ? AND output_digest = ? AND superseded_by IS NOT NULL AND NOT held
"""
STAND_AGAIN = "UPDATE jobs SET superseded_by = NULL WHERE superseded_by = ?"

# A due date beyond the longest backoff was set before the clock was put back: the job is due.
BACKED_OFF = "(not_before > ? AND not_before <= ?)"

EXPEDITE = """
UPDATE jobs SET not_before = ? WHERE status = 'queued' AND not_before > ? RETURNING *
"""

# Before a job is deleted, the jobs with its content refer to the first of those that remain.
UNLINK = """
UPDATE jobs SET same_content_as = (
    SELECT min(other.id) FROM jobs AS other WHERE other.digest = jobs.digest
        AND other.path != jobs.path AND other.id < jobs.id AND other.id != jobs.same_content_as
) WHERE same_content_as = ?
"""
FORGET = "DELETE FROM jobs WHERE id = ? AND status IN ('finished', 'failed') RETURNING *"
UNQUEUE = "DELETE FROM jobs WHERE id = ? AND status = 'started' AND NOT recolor RETURNING *"

STORE_ACTIVE_MODEL = """
INSERT INTO serving (only, model, refused, refused_because) VALUES (1, ?, ?, ?)
ON CONFLICT (only) DO UPDATE SET model = excluded.model, refused = excluded.refused,
    refused_because = excluded.refused_because
"""
