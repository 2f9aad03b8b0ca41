"""Weight files: where they are, how they are read, and by what they are known."""
