"""What a file says beside its pixels, and what is said of the result."""
