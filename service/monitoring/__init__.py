"""How the daemon is doing: health, heartbeat, metrics, status."""
