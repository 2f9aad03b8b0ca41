"""The work of each stage, which its script starts once the command line is read."""
