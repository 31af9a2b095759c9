"""Where scans and results lie: named, moved, delivered, found again."""
