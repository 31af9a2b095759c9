"""The systemd units and the notification protocol."""
