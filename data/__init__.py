"""Images and their users, leak-free splits, latents files and latent statistics; no network lives here."""
