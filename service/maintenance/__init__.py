"""Maintenance commands: verify, bag, recolor, retry, forget, rebuild-ledger."""
