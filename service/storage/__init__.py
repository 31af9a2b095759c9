"""Files on disk: naming, moving, delivering and finding scans and results."""
