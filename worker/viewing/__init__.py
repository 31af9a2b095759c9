"""Pages made ready for the eye: pyramids of tiles, thumbnails, in a process of their own."""
