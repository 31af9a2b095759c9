"""The commands that train and evaluate: where things lie, and when to train."""
