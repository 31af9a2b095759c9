"""How good a generator is, and when it may replace another."""
