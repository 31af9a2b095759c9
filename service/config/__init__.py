"""config.yaml: its sections, how it is read, and its mistakes, all reported at once."""
