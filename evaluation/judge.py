"""The judge: a small network that names the person in an image, trained on real images only.

It sees images reduced to 128 x 64 by area averaging: enough for the torso line and the arcs, little enough
for two CPU cores, and blind to the finest speckle, which every tokenizer changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from configs.version import VERSION
from data.atomic import replacing
from data.labels import LabelTable
from data.progress import progress
from data.tensor_files import save_tensors
from weight_files.reading import WeightFile, load_strict

VELOCITY, TIME = 128, 64
WIDTH = 48  # channels of the first map
SMALL = "convolutional"
TEMPERATURES = torch.logspace(math.log10(0.2), math.log10(5), 301, dtype=torch.float64).tolist()  # 1 amid


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Halve the map, then one residual convolution at the new width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down, self.refine = _convolution(inputs, outputs, 3, 2), _convolution(outputs, outputs, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x).relu()
        return (x + self.refine(x)).relu()


class Judge(nn.Module):
    """A network that names people: (N, 3, V, T) in [-1, 1] to logits (N, num_classes)."""

    network = ""  # what files and reports call it
    batch = 256  # images at once, where nothing is learnt
    temperature: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones((), dtype=torch.float64))

    def pooled(self, x: Tensor) -> Tensor:
        """(N, D): what the last layer sees."""
        raise NotImplementedError

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        """(N, C, h, w) of one layer after another."""
        raise NotImplementedError

    @torch.no_grad()
    def each(self, function: Callable[[Tensor], Tensor], images: numpy.ndarray) -> Tensor:
        """(N, ...) of `function` of uint8 images (N, V, T, 3) as the network takes them, on the CPU."""
        self.eval()
        parts = torch.from_numpy(images).split(self.batch)
        return torch.cat([function(to_input(part).to(self.temperature.device)).cpu() for part in parts])

    def logits(self, images: numpy.ndarray) -> Tensor:
        """(N, num_classes) float64, not yet divided by the temperature."""
        return self.each(self, images).double()

    def features(self, images: numpy.ndarray) -> numpy.ndarray:
        """What the last layer sees, (N, D) float32."""
        return self.each(self.pooled, images).numpy()

    def predict(self, images: numpy.ndarray) -> numpy.ndarray:
        """Probabilities (N, num_classes), float64, of uint8 images (N, V, T, 3)."""
        return (self.logits(images) / self.temperature.item()).softmax(1).numpy()

    def save(self, path: str | Path, people: LabelTable) -> None:
        """Write a safetensors file that `load_judge` reads, with the label table inside."""
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        metadata = {"people": people.to_json(), "network": self.network, "version": VERSION}
        with replacing(path) as temporary:
            save_tensors(weights, temporary, metadata)


class SmallJudge(Judge):
    """Of images (N, 3, 128, 64), as `reduced` makes them. Averages over time, but not over velocity."""

    network = SMALL

    def __init__(self, num_classes: int, width: int = WIDTH) -> None:
        super().__init__()
        stem = nn.Sequential(_convolution(3, width, 6, 4), nn.ReLU())
        last = 8 * width // 3
        self.blocks = nn.Sequential(stem, Block(width, 2 * width), Block(2 * width, last))
        self.head = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(last * VELOCITY // 16, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x).mean(dim=-1))

    def pooled(self, x: Tensor) -> Tensor:
        """(N, 1024): 128 channels by 8 velocities, averaged over time."""
        return self.blocks(x).mean(dim=-1).flatten(1)

    def maps(self, x: Tensor) -> Iterator[Tensor]:
        for block in self.blocks:
            x = block(x)
            yield x


def load_judge(path: str | Path, build: Callable[[int], Judge] = SmallJudge) -> tuple[Judge, LabelTable]:
    """Inverse of `Judge.save`, into what `build` makes for a number of people. UserError: not such a file."""
    file = WeightFile(Path(path), "judge's file", "delete it to train another")
    state, metadata = file.safetensors()
    if "people" not in metadata:
        raise file.refusal("no judge's weights: no people in its metadata")
    people = LabelTable.from_json(metadata["people"])
    judge = build(len(people))
    load_strict(judge, state, file, "judge", file.way_out)
    return judge.eval(), people


def reduced(image: Image.Image) -> numpy.ndarray:
    """An RGB image of any size as uint8 (128, 64, 3): the mean over the area under each new pixel."""
    return numpy.asarray(image.resize((TIME, VELOCITY), Image.Resampling.BOX))


def to_input(images: Tensor) -> Tensor:
    # In place: memory that is asked for anew costs more here than the arithmetic.
    return images.float().div_(127.5).sub_(1).permute(0, 3, 1, 2)


def train_judge(
    images: numpy.ndarray,
    labels: numpy.ndarray,
    num_classes: int,
    seed: int,
    *,
    val: tuple[numpy.ndarray, numpy.ndarray] | None = None,
    epochs: int = 24,
    batch_size: int = 32,
    build: Callable[[int], Judge] = SmallJudge,
) -> Judge:
    """Train what `build` makes on uint8 images (N, V, T, 3) as it takes them, with int64 labels (N,); the
    same seed gives the same judge, on a CPU.

    AdamW with a cosine to zero. With `val` (images and labels) the epoch of their lowest cross-entropy is
    kept and calibrated on them (temperature scaling, Guo et al., arXiv 1706.04599); else the last, as it is.
    """
    bar = progress(range(epochs), description="training the judge", unit="epoch")
    rounds = (torch.randperm(len(images)).split(batch_size) for _ in bar)
    lowest, best = math.inf, {}
    for judge in training_rounds(images, labels, num_classes, seed, rounds, epochs, augmented, build):
        score = cross_entropy(judge.logits(val[0]), val[1]) if val else -math.inf
        if not val or score < lowest:
            lowest, best = score, {name: value.clone() for name, value in judge.state_dict().items()}
    judge.load_state_dict(best)
    if val:
        judge.temperature.fill_(fit_temperature(judge.logits(val[0]), val[1]))
    return judge.eval()


def training_rounds(
    images: numpy.ndarray,
    labels: numpy.ndarray,
    num_classes: int,
    seed: int,
    rounds: Iterable[Iterable[Tensor]],
    count: int,
    augment: Callable[[Tensor], Tensor],
    build: Callable[[int], Judge] = SmallJudge,
) -> Iterator[Judge]:
    """The network that `build` makes for so many people after each of `count` rounds of batches of places
    (B,): AdamW, with a cosine to zero that falls once a round.

    Weights, `rounds` and `augment` draw from torch's generator in this order, from `seed`; after the last
    round the generator is as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = build(num_classes).to(memory_format=torch.channels_last)
        device = judge.temperature.device
        optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count)
        pixels, targets = torch.from_numpy(images), torch.from_numpy(labels)
        for batches in rounds:
            judge.train()
            for chosen in batches:
                output = judge(augment(to_input(pixels[chosen])).to(device))
                loss = functional.cross_entropy(output, targets[chosen].to(device), label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            yield judge


def augmented(x: Tensor) -> Tensor:
    """Images (N, 3, V, T), each rolled in time and a little brighter or darker; a flip is another gait."""
    steps, count = x.shape[-1], len(x)
    columns = (torch.arange(steps) + torch.randint(steps, (count, 1))) % steps
    rolled = x.gather(3, columns[:, None, None].expand_as(x))
    gain = 1 + 0.1 * (2 * torch.rand(count, 1, 1, 1) - 1)
    return rolled.add_(1).mul_(gain).sub_(1)


def cross_entropy(logits: Tensor, labels: numpy.ndarray, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood in nats of logits (N, K) divided by `temperature`."""
    return float(functional.cross_entropy(logits / temperature, torch.from_numpy(labels)))


def fit_temperature(logits: Tensor, labels: numpy.ndarray) -> float:
    """The temperature in [0.2, 5] of lowest cross-entropy, to 1 %; where all are right it would fall to 0."""
    return min(TEMPERATURES, key=lambda temperature: cross_entropy(logits, labels, temperature))


def calibration_error(probabilities: numpy.ndarray, labels: numpy.ndarray, bins: int = 15) -> float:
    """Expected calibration error of probabilities (N, K): the mean gap between confidence and share of right
    answers in `bins` equal intervals of confidence, weighted by count (Guo et al., arXiv 1706.04599, eq. 5).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = numpy.ceil(confidence * bins).astype(int)
    gaps = numpy.bincount(place, weights=right - confidence, minlength=bins + 1)
    return float(numpy.abs(gaps).sum() / len(labels))
