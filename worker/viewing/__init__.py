"""Pages made ready for the eye, in processes of their own: tiles, thumbnails, previews."""
