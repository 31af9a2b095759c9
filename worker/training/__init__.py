"""How a generator is made: data, networks, losses, and the training story."""
