"""A generator at work: device, batches, the check before it serves."""
