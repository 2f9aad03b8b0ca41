"""Which arithmetic is the fastest here, measured on a few steps of the real networks, kept with the run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from configs.command_line import is_main_process, say
from configs.errors import UserError
from runtime.devices import resolve_precision, tokenizer_candidates, tokenizer_precision
from runtime.out_of_memory import is_out_of_memory

DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
PRODUCT_SIDE = {"cpu": 1024, "cuda": 8192}
PRODUCTS = 5
RECORD = "precision.json"  # in the folder of a run
LEAST_STEPS = 60  # a shorter run does not repay the steps that measuring takes
TRIED_STEPS = 160  # of which a run has to consist for three turns of two arithmetics
SHARE, MOST_SECONDS = 0.05, 10.0  # of the run, and of a user's patience
MOST_TURNS = 7
NOISE = {True: 0.03, False: 0.2}  # advantages below it are none, after three turns and after fewer
EMULATED = 0.25  # of the rate of fp32: who multiplies so slowly does it in software
LONGEST_WAIT, BETWEEN_LOOKS = 600.0, 0.5  # s, for the main process's choice


class Store(Protocol):
    """Named JSON values that outlast the process (`data.kept_values.KeptValues`)."""

    def get(self, name: str) -> Mapping[str, Any]: ...

    def put(self, name: str, value: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Choice:
    """What `auto` took for one network, and why: median `seconds` of a step in each arithmetic tried, none
    where nothing was measured, over `turns` each; `measuring_s` is what that cost.
    """

    precision: str
    seconds: Mapping[str, float]
    turns: int = 0
    measuring_s: float = 0.0

    def __str__(self) -> str:
        if len(self.seconds) < 2:
            return self.precision
        others = [name for name in self.seconds if name != self.precision]
        ratios = " and ".join(
            f"{self.seconds[name] / self.seconds[self.precision]:.2f} x as fast as {name}" for name in others
        )
        steps = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in self.seconds.items())
        tie = ", a tie within the noise" if self.seconds[self.precision] > min(self.seconds.values()) else ""
        turns = "1 turn" if self.turns == 1 else f"medians of {self.turns} turns"
        cost = f"{turns}, {self.measuring_s:.1f} s of measuring"
        return f"{self.precision}, {ratios}{tie} (a step: {steps}; {cost})"


def now(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def measured_rate(device: torch.device, dtype: torch.dtype, side: int | None = None) -> float:
    """Operations a second of this device in matrix products, large ones by default, the median of a few."""
    side = side or PRODUCT_SIDE.get(device.type, 1024)
    one = torch.randn(side, side, device=device, dtype=dtype)
    seconds = []
    for _ in range(PRODUCTS + 1):
        started = now(device)
        one @ one
        seconds.append(now(device) - started)
    return 2 * side**3 / statistics.median(seconds[1:])


def worth_trying(names: Sequence[str], device: torch.device) -> list[str]:
    """`names` without those that a CPU only emulates, in which a single step may take minutes."""
    if device.type != "cpu":
        return list(names)
    rates = {name: measured_rate(device, DTYPES.get(name, torch.float32), side=256) for name in names}
    return [name for name in names if rates[name] >= EMULATED * rates["32"]]


def timed(step: Callable[[str], object], name: str, device: torch.device) -> float:
    """Seconds of one `step(name)`."""
    started = now(device)
    step(name)
    return now(device) - started


def in_turns(
    step: Callable[[str], object], names: Sequence[str], device: torch.device, steps: float
) -> dict[str, list[float]]:
    """Seconds of `step(name)`, for each of `names` in turns, so that a machine's moods meet all alike.

    One call of each is not counted: it compiles and allocates. There are as many turns, one at least, as a
    small share of a run of `steps` such steps takes, and some seconds at most.
    """
    first = {name: timed(step, name, device) for name in names}
    allowed = min(MOST_SECONDS, SHARE * steps * first[names[0]])
    seconds: dict[str, list[float]] = {name: [] for name in names}
    spent = 0.0
    for turn in range(MOST_TURNS):
        if turn and spent * (turn + 1) / turn > allowed:
            break
        for name in names:
            seconds[name].append(timed(step, name, device))
            spent += seconds[name][-1]
    return seconds


def fastest(seconds: Mapping[str, Sequence[float]]) -> str:
    """The first name, in the order given, that no other beats by more than noise: a tie is for fp32."""
    medians = {name: statistics.median(turns) for name, turns in seconds.items()}
    noise = NOISE[min(map(len, seconds.values())) >= 3]
    return next(name for name in medians if medians[name] <= (1 + noise) * min(medians.values()))


def measured(
    step: Callable[[str], object], names: Sequence[str], device: torch.device, steps: float
) -> Choice:
    """The fastest of `names`, measured. Out of memory: RuntimeError or MemoryError, as torch raises it."""
    started = time.monotonic()
    names = worth_trying(names, device)
    if len(names) < 2:
        return Choice(names[0], {})
    seconds = in_turns(step, names, device, steps)
    medians = {name: statistics.median(turns) for name, turns in seconds.items()}
    return Choice(fastest(seconds), medians, len(seconds["32"]), time.monotonic() - started)


def choose(
    what: str,
    step: Callable[[], Callable[[str], object]],
    names: Sequence[str],
    device: torch.device,
    steps: float,
    store: Store,
    lasting: bool = False,
) -> str:
    """The arithmetic of `names` (fp32 first) that `auto` takes for the network `what`: the one that `store`
    keeps for this device, else the fastest, which it keeps from then on.

    `step()` makes what is measured: a function that takes a step in a named arithmetic, of which the run is
    `steps` long. A run too short to repay measuring goes by name, on a CPU in fp32; that is kept where it is
    `lasting`, because outputs made so are to stay alike. Only the main process measures; others started
    beside it wait for its answer. UserError: it gives none.
    """
    if len(names) < 2:
        return names[0]
    usual = resolve_precision("auto", device)
    by_name = Choice(usual if usual in names else names[0], {})
    earlier = kept(store, what, names, device)
    if earlier:
        say(f"precision auto, {what}: {earlier}, as chosen when this folder was begun")
        return earlier
    if steps < LEAST_STEPS and not lasting:
        return by_name.precision
    if not is_main_process():
        return awaited(store, what, names, device)
    choice = by_name if steps < LEAST_STEPS else measured_or(by_name, step, names, device, steps)
    keep(store, what, choice, device)
    say(f"precision auto, {what}: {choice}")
    return choice.precision


def choose_tokenizer(
    name: str,
    step: Callable[[str, int], object],
    device: torch.device,
    images: int,
    batch_size: int,
    store: Store,
    lasting: bool = False,
) -> str:
    """The arithmetic, "32" or "bf16", of a tokenizer on `images` at the precision `name`, `auto` by `choose`.

    `step(arithmetic, n)` encodes or decodes n images.
    """
    if name != "auto":
        return tokenizer_precision(resolve_precision(name, device))
    names = tokenizer_candidates(device)
    size = trial_size(batch_size, images)
    chosen = choose(
        "tokenizer",
        lambda: lambda one: step(tokenizer_precision(one), size),
        names,
        device,
        images / size,
        store,
        lasting,
    )
    return tokenizer_precision(chosen)


def trial_size(batch_size: int, images: int) -> int:
    """Images in a step that is measured: a batch, or less where all of them make few batches."""
    return max(1, min(batch_size, images // TRIED_STEPS))


def measured_or(
    by_name: Choice,
    step: Callable[[], Callable[[str], object]],
    names: Sequence[str],
    device: torch.device,
    steps: float,
) -> Choice:
    """`measured`, or `by_name` where the memory does not suffice for it."""
    try:
        return measured(step(), names, device, steps)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    say("precision auto: not enough memory to measure it beforehand")  # out here its tensors are gone
    return by_name


def device_name(device: torch.device) -> str:
    """What a choice holds for: the CPU, or all cards of a make."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def kept(store: Store, what: str, names: Sequence[str], device: torch.device) -> str | None:
    """The choice that `store` has for `what` on this device."""
    precision = store.get(device_name(device)).get(what, {}).get("precision")
    return precision if precision in names else None


def keep(store: Store, what: str, choice: Choice, device: torch.device) -> None:
    """Put `choice` beside those for other networks and devices."""
    name = device_name(device)
    store.put(name, {**store.get(name), what: asdict(choice)})


def awaited(store: Store, what: str, names: Sequence[str], device: torch.device) -> str:
    """The main process's choice, once it is written."""
    deadline = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < deadline:
        choice = kept(store, what, names, device)
        if choice:
            return choice
        time.sleep(BETWEEN_LOOKS)
    raise UserError(
        f"--precision auto: the main process has made no choice in {LONGEST_WAIT:.0f} s; its output says why"
    )
