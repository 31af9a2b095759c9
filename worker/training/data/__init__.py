"""Color photographs to learn from: found, filtered, cached, degraded, batched."""
