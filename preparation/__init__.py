"""What only stage 0 does: examine this machine, download published weights."""
