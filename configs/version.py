"""The version that trained files, checkpoints and metrics.json state; CHANGELOG.md says what it holds."""

VERSION = "0.3.0"
