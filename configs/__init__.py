"""Layer 0: every key of every stage, where its value comes from, and how a command line ends."""
