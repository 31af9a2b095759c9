"""How photos arrive and leave: folders, jobs, the daemon. It never looks at a pixel."""
