"""What happens to a photo: pixels, color, generators and their training. It never chooses a folder."""
