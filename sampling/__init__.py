"""Trained models as files, and drawing from them."""
