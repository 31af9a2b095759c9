"""The commands that train and evaluate, and the training that a timer starts."""
