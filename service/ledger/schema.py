"""The ledger's tables, version by version, and the statements that fill them; SQL for SQLite."""

# Paths are stored as bytes, because a file's name need not be UTF-8. A failed job delivered
# nothing, so the name it would have had is free.
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

# Where the original was moved to; whether the photo was colored once and is queued to be colored
# again, which lasts until it is finished. Such a job owns its output even when it failed, for the
# earlier photo is still there. And one row on the generator that the daemon uses.
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

# Of the delivered photo: its SHA-256, and the UUID of the coloring that its sidecar tells of. Both
# are NULL for photos of an earlier photochrom.
VERSION_3 = """
ALTER TABLE jobs ADD COLUMN output_digest TEXT;
ALTER TABLE jobs ADD COLUMN event TEXT;
"""

# How many jobs there are of each status, kept by the database itself: counting a million rows takes
# 60 ms, and the daemon asks for it all the time. Small indexes for the oldest that waits, and for
# the copies of a scan that is forgotten.
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

# Whether what lies under a photo's name in the outbox may be replaced though it was altered.
VERSION_5 = """
ALTER TABLE jobs ADD COLUMN repair INTEGER NOT NULL DEFAULT 0;
"""

# The smallest scans that wait: a disk may have room for them, and for no larger one.
VERSION_6 = """
CREATE INDEX jobs_by_size ON jobs (size, id) WHERE status = 'queued';
"""

# A scan that got more pages after its result was delivered is a job of its own, which takes over
# the name of the result; the earlier job names it.
VERSION_7 = """
ALTER TABLE jobs ADD COLUMN superseded_by INTEGER;
DROP INDEX jobs_by_output;
CREATE UNIQUE INDEX jobs_by_output ON jobs (output)
    WHERE (status != 'failed' OR recolor) AND superseded_by IS NULL;
CREATE INDEX jobs_superseded ON jobs (superseded_by) WHERE superseded_by IS NOT NULL;
"""

# How a photo is to be colored, as JSON objects of `FolderSettings`, with the keys that were given:
# by the photochrom.yaml of its folder when it was queued, and by a person for this photo.
VERSION_8 = """
ALTER TABLE jobs ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE jobs ADD COLUMN asked TEXT NOT NULL DEFAULT '{}';
"""

# Whether XMP files beside a scan are still to follow it: noted before it is moved.
VERSION_9 = """
ALTER TABLE jobs ADD COLUMN xmp_owed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX jobs_owing ON jobs (id) WHERE xmp_owed;
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
)  # each leads from the version before it to its own

OWNS_OUTPUT = "(status != 'failed' OR recolor)"  # unless it is superseded

ENQUEUE = """
INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,
    settings, not_before, queued_at, same_content_as)
VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?,
    (SELECT min(id) FROM jobs WHERE path != ? AND digest = ?))
ON CONFLICT (path, digest) DO UPDATE SET  -- it had failed
    output = iif(recolor, output, excluded.output), size = excluded.size,
    mtime_ns = excluded.mtime_ns, inode = excluded.inode, device = excluded.device,
    settings = excluded.settings,
    status = excluded.status, not_before = excluded.not_before, queued_at = excluded.queued_at,
    attempts = 0, waits = 0, reason = NULL, started_at = NULL, finished_at = NULL
RETURNING *
"""

RESTORE = """
INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status, reason, model,
    not_before, queued_at, started_at, finished_at, original, output_digest, event, superseded_by,
    settings)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)
"""
SAME_CONTENTS = """
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

SUPERSEDE = """
UPDATE jobs SET superseded_by = ?
WHERE id = ? AND status = 'finished' AND superseded_by IS NULL RETURNING *
"""
TAKE_OVER = """
UPDATE jobs SET output = ?, output_digest = ?, event = ?
WHERE id = ? AND status = 'started' AND NOT recolor RETURNING *
"""
STAND_AGAIN = "UPDATE jobs SET superseded_by = NULL WHERE superseded_by = ?"

# A due date further ahead than any wait is long was set before the clock was put back: it is due.
WAITS = "(not_before > ? AND not_before <= ?)"

HASTEN = """
UPDATE jobs SET not_before = ? WHERE status = 'queued' AND not_before > ? RETURNING *
"""

# Jobs that name one as the first of their content name the first of the others before it is gone.
UNLINK = """
UPDATE jobs SET same_content_as = (
    SELECT min(other.id) FROM jobs AS other WHERE other.digest = jobs.digest
        AND other.path != jobs.path AND other.id < jobs.id AND other.id != jobs.same_content_as
) WHERE same_content_as = ?
"""
FORGET = "DELETE FROM jobs WHERE id = ? AND status IN ('finished', 'failed') RETURNING *"
UNQUEUE = "DELETE FROM jobs WHERE id = ? AND status = 'started' AND NOT recolor RETURNING *"

SERVE = """
INSERT INTO serving (only, model, refused, refused_because) VALUES (1, ?, ?, ?)
ON CONFLICT (only) DO UPDATE SET model = excluded.model, refused = excluded.refused,
    refused_because = excluded.refused_because
"""
