"""The daemon: startup, main loop, reload, shutdown, and which model it serves."""
