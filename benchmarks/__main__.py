"""The quick variants of all benchmarks, one after the other.

    python -m benchmarks --quick

The exit status is 1 where a result is wrong (each names it): never because something is slow.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import (
    bench_copies,
    bench_judge,
    bench_pipeline,
    bench_sampling,
    bench_study,
    bench_tokenizer,
    bench_training,
    compare_fid,
    compare_pictures,
    compare_unet,
)
from benchmarks.form import hardware
from configs.command_line import run_script, say

BENCHMARKS = (
    (bench_training, "--precision", "bf16-mixed"),
    (bench_tokenizer,),
    (bench_sampling,),
    (bench_pipeline,),
    (bench_copies,),
    (bench_study,),
    (bench_judge,),
    (compare_fid,),
    (compare_pictures,),
    (compare_unet,),
)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", required=True, help="each within a minute, no forms")
    parser.parse_args([token for token in argv if token != "--debug"])
    say(f"on {hardware()}")
    wrong = []
    for module, *arguments in BENCHMARKS:
        started = time.perf_counter()
        say(f"\n## python -m {' '.join((module.__name__, '--quick', *arguments))}\n")
        try:
            module.main(["--quick", *arguments])
        except SystemExit as ended:
            wrong += [module.__name__] if ended.code else []
        say(f"{time.perf_counter() - started:.0f} s")
    say(f"\nwrong: {', '.join(wrong) or 'nothing'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    run_script(main)
