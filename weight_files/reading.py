"""Reading weight files: whole or not at all, without running code; comparing by name, and digests."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from configs.errors import UserError, first_line

SHOWN_NAMES = 8
ANOTHER_COPY = "use another copy, or download or make it again"


def list_names(names: Iterable[str]) -> str:
    """The first eight names and the count: what every refusal shows."""
    names = list(map(str, names))
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{len(names)} ({shown}{', …' if len(names) > SHOWN_NAMES else ''})"


@dataclass(frozen=True)
class WeightFile:
    """A file with the words for its refusals: what it should be, the way out, the flag that named it."""

    path: Path
    what: str = "weights file"
    way_out: str = ANOTHER_COPY
    flag: str = ""

    def __str__(self) -> str:
        return f"{self.flag} {self.path}".strip()

    def refusal(self, text: str, way_out: str | None = None) -> UserError:
        """The error to raise."""
        return UserError(f"{self}: {text}; {way_out or self.way_out}")

    def require(self) -> None:
        """FileNotFoundError: no such file. UserError: a folder, or an empty file."""
        if not self.path.exists():
            raise FileNotFoundError(f"{self}: no such {self.what}; {self.way_out}")
        if self.path.is_dir():
            raise self.refusal(f"a folder, expected a {self.what}")
        if self.path.stat().st_size == 0:
            raise self.refusal(f"an empty file (0 bytes), expected a {self.what}", ANOTHER_COPY)

    def safetensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors by name, and the metadata. Errors of `require`; UserError: cut short, or another format."""
        self.require()
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        except SafetensorError as error:
            raise self.refusal(
                f"not a whole safetensors file ({first_line(error, 120)})", ANOTHER_COPY
            ) from error

    def torch(self) -> Any:
        """What a torch file holds, on the CPU: tensors and plain containers. Errors as of `safetensors`."""
        self.require()
        try:
            # Mapped, because much of a training checkpoint is not needed; old formats cannot be.
            mapped = zipfile.is_zipfile(self.path)
            return torch.load(str(self.path), map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # a damaged file can provoke nearly any kind in the unpickler
            if "GLOBAL" in str(error):
                raise self.refusal(
                    "refused, its pickle holds more than tensors and plain containers and could run code"
                ) from error
            reason = f"{type(error).__name__}: {first_line(error, 120)}"
            raise self.refusal(f"not a whole torch file ({reason})", ANOTHER_COPY) from error

    def named(self, content: Any) -> dict[str, Tensor]:
        """`content` as tensors by name; UserError: something else."""
        if not isinstance(content, Mapping) or not content:
            raise self.refusal(f"holds a {type(content).__name__}, expected named weights")
        others = [name for name, value in content.items() if not isinstance(value, Tensor)]
        if others or not all(isinstance(name, str) for name in content):
            raise self.refusal(f"not tensors by name: {list_names(others or content)}")
        return dict(content)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name of a plain file, by its suffix .safetensors or torch's."""
        return self.safetensors()[0] if self.path.suffix == ".safetensors" else self.named(self.torch())


def misfits(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Counts and first names of what keeps `state` from being exactly the model's; empty: nothing."""
    expected = model.state_dict()
    groups = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
            for name, value in expected.items()
            if name in state and state[name].shape != value.shape
        ],
        "not of finite floating-point numbers": [
            name
            for name, value in state.items()
            if name not in expected or expected[name].is_floating_point()
            if not (value.is_floating_point() and value.isfinite().all())
        ],
    }
    return "; ".join(f"{what}: {list_names(names)}" for what, names in groups.items() if names)


def load_strict(
    model: nn.Module,
    state: Mapping[str, Tensor],
    source: object,
    what: str = "model",
    way_out: str = "use a file of this architecture",
) -> None:
    """Copy `state` into `model`, all of it or nothing; values take the model's dtype and device, a model on
    the meta device gets memory of the CPU. UserError naming `source`, with `misfits`.
    """
    faults = misfits(model, state)
    if faults:
        raise UserError(f"{source}: does not fit the {what} ({faults}); {way_out}")
    if any(value.is_meta for value in model.parameters()):
        model.to_empty(device="cpu")
    model.load_state_dict(state)


def values_digest(model: nn.Module, dtype: torch.dtype, heading: str) -> str:
    """SHA-256 over the model's values in `dtype`, sorted by name, each after `heading` filled with name and
    shape (64 hexadecimal digits).
    """
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        total.update(heading.format(name=name, shape=tuple(value.shape)).encode())
        values = value.detach().to("cpu", dtype).contiguous().numpy()
        total.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return total.hexdigest()
