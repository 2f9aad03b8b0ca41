"""Whole-network compilation on request, which never ends a run that would go well without it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from configs.command_line import say

Tokenizer = TypeVar("Tokenizer", bound=Any)  # has `model.encode` and `model.decode`


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` compiled as a whole; the plain one, after one warning, where a compiled call fails.

    Compilation happens at the first call, and again for shapes that change.
    """
    fast: Callable[..., Any] | None = torch.compile(function)

    def call(*arguments: Any, **keywords: Any) -> Any:
        nonlocal fast
        if fast is not None:
            try:
                return fast(*arguments, **keywords)
            except Exception as error:  # compilers raise nearly anything
                reason = (str(error).strip().splitlines() or [""])[0]
                say(f"warning: torch.compile failed ({type(error).__name__}: {reason}); going on without it")
                fast = None
        return function(*arguments, **keywords)

    return call


def compiled_tokenizer(vae: Tokenizer) -> Tokenizer:
    """The same tokenizer, whose networks run compiled: norms, activations and additions between the
    convolutions become one pass over memory each.
    """
    fast = copy.copy(vae)
    fast.model = copy.copy(vae.model)  # shares the weights
    fast.model.encode, fast.model.decode = compiled(vae.model.encode), compiled(vae.model.decode)
    return fast
