"""Image tokenizer: the VA-VAE family of KL autoencoders, its weight files and its pixel conventions."""
