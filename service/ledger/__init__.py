"""The ledger: one row a job, in SQLite."""
