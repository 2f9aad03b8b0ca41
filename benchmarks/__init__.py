"""Measurements: each module prints the table that a form in `results/` keeps; see README.md."""
