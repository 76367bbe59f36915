"""From frames to files: pixels, pictures, EXIF, and the folder they end up in."""
