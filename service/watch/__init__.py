"""Watching the inbox: which files are scans, and when each is complete."""
