"""Layer 1: radar images."""
