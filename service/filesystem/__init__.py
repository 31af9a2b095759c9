"""File system basics: durability, safe opening, mounts, permissions, availability."""
