"""config.yaml: its sections, how it is read, and every mistake in it told at once."""
