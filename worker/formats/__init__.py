"""Image formats: one module each, read and written."""
