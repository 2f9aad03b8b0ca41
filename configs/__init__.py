"""Layer 0: every key of every stage, where its value comes from, and how a command line ends."""

import sys
from importlib.util import find_spec

# What every command needs at once, the doctor too; of others it tells itself.
MISSING = [name for name in ("omegaconf", "numpy", "PIL", "scipy", "matplotlib") if find_spec(name) is None]
if MISSING:
    print(f"error: {', '.join(MISSING)}: not installed; pip install -r requirements.txt", file=sys.stderr)
    sys.exit(2)
