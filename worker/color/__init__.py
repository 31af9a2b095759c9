"""Color as numbers: CIELAB, ICC profiles, chroma at full size, the watermark."""
