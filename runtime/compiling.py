"""Compilation of networks or of their blocks, which never ends a run that would go well without it."""

from __future__ import annotations

import copy
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from configs.command_line import say
from configs.errors import first_line

# Operations from which on compiling repays itself on one core of a CPU. It costs half a minute to draw, a
# whole one to train (a third of that on two idle cores), and shortens the work by a tenth to a fifth in fp32,
# by a quarter in bf16 (benchmarks/results).
LONG = {"draw": 2e13, "train": 3e13}
CACHE = "TORCHINDUCTOR_CACHE_DIR"  # where torch keeps compiled code
TORCHS_OWN = "torchinductor_"  # how the folder begins that it names where nobody has, below /tmp
Network = TypeVar("Network", bound=torch.nn.Module)
Tokenizer = TypeVar("Tokenizer", bound=Any)  # has `model.encode` and `model.decode`


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled as a whole; the plain one, after one warning, where a compiled call fails.

    Compilation happens at the first call, and again for shapes that change.
    """
    keep_compiled_code()
    fast: Callable[..., Any] | None = torch.compile(function)

    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal fast
        if fast is not None:
            try:
                return fast(*arguments, **keywords)
            except Exception as error:  # compilers raise nearly anything
                if type(error).__module__ == "torch.utils.checkpoint":
                    raise  # how recomputing a block ends when it has what it needs
                reason = f"{type(error).__name__}: {first_line(error)}"
                say(f"warning: torch.compile failed ({reason}); going on without it")
                fast = None
        return function(*arguments, **keywords)

    return call


def compile_blocks_(net: Any) -> None:
    """Let the blocks of `net`, which are alike, run compiled, all by the code of the first one: that takes a
    third of the time that the whole network takes, and no longer for a deeper one.

    No parameter or module gets another name. torch before 2.5 would compile each block and gets the network.
    """
    if torch.__version__ < "2.5":
        net.forward = compiled(net.forward)
        return
    forward = compiled(type(net.blocks[0]).forward)
    for block in net.blocks:
        block.forward = partial(forward, block)


def with_compiled_blocks(net: Network) -> Network:
    """A copy of `net` with the same weights whose blocks run compiled; others may use `net` as it is."""
    weights = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    fast = copy.deepcopy(net, weights)
    compile_blocks_(fast)
    return fast


def keep_compiled_code() -> None:
    """Have torch keep what it compiles in the folder that the user named, or else in the user's cache, where
    the next run finds it; /tmp may be emptied between two runs.

    Each kind of processor has a folder of its own inside: torch takes kept code without asking for which one
    it was made, and of other code half the values may be missing. A home may be mounted on several machines.
    """
    named = os.environ.get(CACHE)
    if not named or Path(named).name.startswith(TORCHS_OWN):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        if os.access(cache if cache.is_dir() else cache.parent, os.W_OK):
            named = str(cache / "torch" / "inductor")
    kind = processor()
    if named and Path(named).name != kind:
        os.environ[CACHE] = str(Path(named) / kind)


def processor() -> str:
    """The kind of processor by what compiled code hangs on: torch's vectors, and the features Linux tells."""
    info = Path("/proc/cpuinfo")
    match = re.search(r"^(?:flags|Features)\s*:(.*)", info.read_text(), re.M) if info.is_file() else None
    features = " ".join(sorted(match[1].split())) if match else platform.processor()
    vectors = re.sub(r"\W", "", torch.backends.cpu.get_cpu_capability()).lower()
    return f"{vectors}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def worth_compiling(
    asked: bool | None, work: Literal["draw", "train"], operations: Callable[[], float], device: str
) -> bool:
    """Whether a network's blocks are compiled for work of so many `operations`, which are counted only where
    that matters, on a device of that type: as asked, else on a CPU where that is long. It hangs on nothing
    measured, so that work gone on with goes on alike.
    """
    if asked is not None or device != "cpu" or operations() < LONG[work]:
        return bool(asked)
    if not has_compiler():
        say("compile: no C++ compiler (g++) here, which would shorten the work by a tenth to a quarter")
    return has_compiler()


def has_compiler() -> bool:
    """Whether there is the C++ compiler that torch calls for a CPU."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def compiled_tokenizer(vae: Tokenizer) -> Tokenizer:
    """The same tokenizer, whose networks run compiled: norms, activations and additions between the
    convolutions become one pass over memory each.
    """
    fast = copy.copy(vae)
    fast.model = copy.copy(vae.model)  # shares the weights
    fast.model.encode, fast.model.decode = compiled(vae.model.encode), compiled(vae.model.decode)
    return fast
