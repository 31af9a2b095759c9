"""Training data: finding, filtering, caching, degrading and batching photographs."""
