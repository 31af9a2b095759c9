"""Training: data, networks, losses, the training loop, and publishing."""
