"""Which files in the inbox count, and when each is complete."""
