"""TIFF: directories, samples, pixels and metadata, in and out."""
