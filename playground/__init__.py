"""A page on which a trained model is played with: `python -m playground --model demo`."""
