"""The ledger's table, and the one statement that fills it; SQL for SQLite."""

SCHEMA_VERSION = 1

# Paths are stored as bytes, because a file's name need not be UTF-8. A failed job delivered
# nothing, so the name it would have had is free.
SCHEMA = """
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

ENQUEUE = """
INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,
    not_before, queued_at, same_content_as)
VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?,
    (SELECT min(id) FROM jobs WHERE path != ? AND digest = ?))
ON CONFLICT (path, digest) DO UPDATE SET  -- it had failed
    output = excluded.output, size = excluded.size, mtime_ns = excluded.mtime_ns,
    inode = excluded.inode, device = excluded.device, status = excluded.status,
    not_before = excluded.not_before, queued_at = excluded.queued_at,
    attempts = 0, waits = 0, reason = NULL, started_at = NULL, finished_at = NULL
RETURNING *
"""
