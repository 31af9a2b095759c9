"""What people ask for later: verify, bag, recolor, retry, rebuild."""
