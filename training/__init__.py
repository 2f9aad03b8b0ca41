"""Layer 4: fitting the LightningDiT and the tokenizer, and everything a run writes and resumes from."""
