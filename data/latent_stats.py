"""Per-channel statistics of latents, the only place that normalises and denormalises, and the choice between
two sets.

z is a latent (N, C, H, W). Normalised latents are (z - mean) / std per channel (arXiv 2501.01423 trains on
these).
"""

import copy
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.errors import UserError
from data.atomic import replacing, write_text_if_new
from data.row_tensor import Rows

CHUNK_SAMPLES = 512  # float64 copies of this many samples at a time: 32 MB for (32, 16, 16) latents
KL_LIMIT_NATS = 0.05
REBUILD = "rebuild it with stage1_extract_features.py"
MEND = f"{REBUILD}, or from latents with stage0_prepare.py doctor --fix --latent_dir FOLDER"


@dataclass(frozen=True, eq=False)
class LatentStatistics:
    """Per-channel mean and standard deviation of the training latents, each (1, C, 1, 1) float32.

    UserError: wrong shapes, values that are not finite, a standard deviation that is not positive.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            value = getattr(self, name)
            if not (
                isinstance(value, torch.Tensor)
                and value.is_floating_point()
                and value.layout == torch.strided
            ):
                raise UserError(f"{name} is no plain tensor of floating-point numbers")
            if value.ndim != 4 or value.numel() == 0 or value.numel() != value.shape[1]:
                raise UserError(f"{name} has shape {tuple(value.shape)}, expected (1, C, 1, 1)")
            if not value.isfinite().all():
                raise UserError(f"{name} holds values that are not finite")
            object.__setattr__(self, name, value.detach().float())
        if self.mean.shape != self.std.shape:
            raise UserError(f"mean has {self.mean.shape[1]} channels, std {self.std.shape[1]}")
        if not (self.std > 0).all():
            raise UserError("std holds values that are not positive")

    @property
    def num_channels(self) -> int:
        """C."""
        return self.mean.shape[1]

    def to(self, device: torch.device | str) -> "LatentStatistics":
        """The same statistics on another device. Their values are not checked again: nothing waits for it."""
        moved = copy.copy(self)
        for name in ("mean", "std"):
            object.__setattr__(moved, name, getattr(self, name).to(device))
        return moved

    def normalise(self, z: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) latents → zero mean, unit variance per channel; float64 stays, all else is float32.

        They lie where the statistics do (`to` moves these, once): no step of a training copies anything.
        """
        self._check_channels(z)
        return (z - self.mean) / self.std

    def denormalise(self, z: torch.Tensor) -> torch.Tensor:
        """Inverse of `normalise`."""
        self._check_channels(z)
        return z * self.std + self.mean

    def _check_channels(self, z: torch.Tensor) -> None:
        assert z.ndim == 4 and z.shape[1] == self.num_channels, (tuple(z.shape), self.num_channels)

    @classmethod
    def from_latents(cls, latents: Rows, latents_std: Rows | None = None) -> "LatentStatistics":
        """Exact statistics over all samples and positions: float64, two passes, so any offset is harmless.

        Mean and unbiased standard deviation of `latents` (N, C, H, W). With the posterior's `latents_std` of
        the same shape they describe the drawn latent z = latents + latents_std * eps, by the law of total
        variance: Var z = Var latents + E latents_std^2. A channel without variance gets std 1.
        """
        count = latents.numel() // latents.shape[1]
        mean = _channel_sums(latents, lambda chunk: chunk) / count
        variance = _channel_sums(latents, lambda chunk: (chunk - mean).square()) / (count - 1)
        if latents_std is not None:
            variance = variance + _channel_sums(latents_std, torch.square) / count
        std = variance.sqrt()
        # Below the resolution of the values there is rounding, not variance.
        resolution = min(torch.finfo(latents.dtype).eps, torch.finfo(torch.float32).eps)
        constant = std <= resolution * mean.abs() + 1e-12
        std = torch.where(constant, torch.ones_like(std), std)
        return cls(mean.float(), std.float())

    def digest(self) -> str:
        """SHA-256 of the values, whatever file they came from."""
        both = torch.cat([self.mean.flatten(), self.std.flatten()]).cpu()
        return hashlib.sha256(both.numpy().tobytes()).hexdigest()

    def save(self, path: str | os.PathLike) -> None:
        """Write {'mean', 'std'} as upstream does; the file is complete or absent."""
        with replacing(path) as temporary:
            torch.save({"mean": self.mean.cpu(), "std": self.std.cpu()}, temporary)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LatentStatistics":
        """Read a file of `save`, or upstream's.

        FileNotFoundError, UserError: absent, empty, damaged or wrong; nothing is repaired.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such statistics file; {MEND}")
        if path.stat().st_size == 0:
            raise UserError(f"{path}: empty statistics file (0 bytes); {MEND}")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises nearly anything on damaged bytes
            raise UserError(f"{path}: not readable ({type(error).__name__}); {MEND}") from error
        missing = [key for key in ("mean", "std") if not isinstance(content, dict) or key not in content]
        if missing:
            raise UserError(f"{path}: no {' and no '.join(missing)} in it, expected both; {MEND}")
        try:
            return cls(content["mean"], content["std"])
        except UserError as error:
            raise UserError(f"{path}: {error}; {MEND}") from error


def _channel_sums(tensor: Rows, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """(1, C, 1, 1) float64: sums of `function`(float64 chunk) over samples and positions."""
    sums = torch.zeros(1, tensor.shape[1], 1, 1, dtype=torch.float64)
    for start in range(0, len(tensor), CHUNK_SAMPLES):
        chunk = tensor[start : start + CHUNK_SAMPLES].detach().cpu().double()
        sums += function(chunk).sum(dim=(0, 2, 3), keepdim=True)
    return sums


# Which statistics to use


@dataclass(frozen=True)
class Recommendation:
    """Which statistics to normalise with, and per channel why.

    `mean_shift` m and `scale` s: our latents, normalised by ImageNet's statistics, are about N(m, s^2);
    `kl_nats` is its distance KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1 - ln s^2) / 2 from what the model
    expects. Empty without ImageNet's.
    """

    choice: str  # "micro_doppler" or "imagenet"
    mean_shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    kl_nats: tuple[float, ...] = ()

    def text(self) -> str:
        """Content of stats_recommendation.txt; its first line is the answer."""
        return "\n".join([f"Recommendation: {self.choice}", "", *self._reasons(), *self._table()]) + "\n"

    def _reasons(self) -> Sequence[str]:
        if not self.kl_nats:
            return ["No ImageNet statistics were given to compare with: use the data's own."]
        over = sum(kl > KL_LIMIT_NATS for kl in self.kl_nats)
        worst = max(range(len(self.kl_nats)), key=self.kl_nats.__getitem__)
        return [
            "Rule: ImageNet's statistics serve when every channel, normalised by them, is within",
            f"{KL_LIMIT_NATS} nats of a standard normal (a mean shift up to about 0.3, or a scale of about",
            "0.79 to 1.23); else the data's own.",
            f"Why: {over} of {len(self.kl_nats)} channels are beyond it; the farthest is channel {worst} "
            f"with {self.kl_nats[worst]:.4f} nats.",
        ]

    def _table(self) -> Sequence[str]:
        if not self.kl_nats:
            return []
        rows = zip(self.mean_shift, self.scale, self.kl_nats)
        return [
            "",
            "channel  mean shift   scale  KL (nats)",
            *(
                f"{channel:7d}  {shift:10.4f}  {scale:6.4f}  {kl:9.4f}{'  over' * (kl > KL_LIMIT_NATS)}"
                for channel, (shift, scale, kl) in enumerate(rows)
            ),
        ]


def recommend(statistics: LatentStatistics, imagenet: LatentStatistics | None) -> Recommendation:
    """Compare our statistics with ImageNet's (see Recommendation).

    The choice is "imagenet" only when every channel is within KL_LIMIT_NATS.
    """
    if imagenet is None:
        return Recommendation("micro_doppler")
    shift = ((statistics.mean.double() - imagenet.mean.double()) / imagenet.std.double()).flatten().tolist()
    scale = (statistics.std.double() / imagenet.std.double()).flatten().tolist()
    kl = tuple((s * s + m * m - 1 - 2 * math.log(s)) / 2 for m, s in zip(shift, scale))
    choice = "imagenet" if max(kl) <= KL_LIMIT_NATS else "micro_doppler"
    return Recommendation(choice, tuple(shift), tuple(scale), kl)


def read_recommendation(path: str | os.PathLike) -> str:
    """The choice in the first line of stats_recommendation.txt: "micro_doppler" or "imagenet".

    FileNotFoundError: no such file. UserError: any other first line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such recommendation; {REBUILD}")
    first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    choice = first.removeprefix("Recommendation: ")
    if choice not in ("micro_doppler", "imagenet") or choice == first:
        raise UserError(
            f"{path}: first line is {first[:60]!r}, expected 'Recommendation: micro_doppler' or "
            f"'Recommendation: imagenet'; {REBUILD}"
        )
    return choice


# Files


def write_statistics(
    folder: Path, statistics: LatentStatistics, imagenet: LatentStatistics | None
) -> Recommendation:
    """latents_stats.pt, stats_recommendation.txt, and a copy of ImageNet's statistics when given (an earlier
    copy is removed when not); files that would stay the same are left alone.
    """
    save_statistics(statistics, folder / "latents_stats.pt")
    theirs = folder / "latents_stats_imagenet.pt"
    if imagenet is not None:
        save_statistics(imagenet, theirs)
    else:
        theirs.unlink(missing_ok=True)
    recommendation = recommend(statistics, imagenet)
    write_text_if_new(folder / "stats_recommendation.txt", recommendation.text())
    return recommendation


def save_statistics(statistics: LatentStatistics, path: Path) -> None:
    """Write the file, unless it holds the same values."""
    try:
        existing = LatentStatistics.load(path)
        if torch.equal(existing.mean, statistics.mean) and torch.equal(existing.std, statistics.std):
            return
    except (ValueError, FileNotFoundError):
        pass  # absent or damaged: written anew
    statistics.save(path)
