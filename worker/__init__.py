"""What happens to a photo: pixels, color, generators, training. It never chooses a folder."""
