"""LightningDiT: the velocity network, its layers, its presets and the reading of published weights."""
