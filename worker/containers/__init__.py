"""One file for each kind of image file: how it is read, and how a result is written."""
