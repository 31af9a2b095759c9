"""What files and folders need below everything else: durability, safe opening, mounts, rights."""
