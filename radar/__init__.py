"""Layer 1: radar pictures."""
