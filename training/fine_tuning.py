"""Starting from trained weights: whose rows of the class table are kept, and which parameters are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.errors import UserError
from data.conditions import NONE
from data.labels import LabelTable, listing
from data.latents import LatentSet
from models.lightningdit import LightningDiT
from models.references import references_of
from models.weights import CLASS_TABLE, CONDITION_TABLE, VECTORS, load_dit
from sampling.model_file import SHIPPED, DitPayload, load_trained, weights_digest
from weight_files.hub import local_file
from weight_files.reading import load_strict

ENCODER = "y_embedder.encoder."
# Not of the architecture: they may differ between the weights and their fine-tuning.
TRAINING_ONLY = ("num_classes", "class_dropout_prob", "use_checkpoint")


@dataclass(frozen=True)
class Initial:
    """Weights to start from. `labels` is None where the file does not name its classes (published ones), or
    where they are nobody's (the shipped model's simulated walkers, whatever the user's people are called).
    """

    path: Path
    net: LightningDiT
    labels: LabelTable | None
    payload: DitPayload | None

    @property
    def digest(self) -> str:
        """Names the weights, whatever file they came from."""
        return weights_digest(self.net)


def load_initial(path: str | Path) -> Initial:
    """Averaged weights of stage 2 (.safetensors, .ckpt), a word of `SHIPPED`, or a published `.pt`; people
    in conditions count as in none. The loaders' errors.
    """
    if str(path) in SHIPPED:
        net, payload = load_trained(path)
        return without_conditions(Initial(SHIPPED[str(path)], net, None, payload))
    path = local_file(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"--init_from {path}: no such file; give best.safetensors of stage 2 or a "
            "published .pt (stage0_prepare.py download fetches one)"
        )
    if path.suffix not in (".safetensors", ".ckpt"):
        return Initial(path, load_dit(path), None, None)
    net, payload = load_trained(path)
    return without_conditions(Initial(path, net, payload.labels, payload))


def without_conditions(initial: Initial) -> Initial:
    """Weights of people in conditions as those of people: each person, and nobody, in none of them."""
    pairs = initial.net.config["combinations"]
    if pairs is None:
        return initial
    state = initial.net.state_dict()
    state[CLASS_TABLE] = state[CLASS_TABLE] + state.pop(CONDITION_TABLE)[NONE]
    arguments = {"num_classes": len(state[CLASS_TABLE]) - 1, "combinations": None}
    with torch.device("meta"):
        net = LightningDiT(**{**initial.net.config, **arguments})
    load_strict(net, state, str(initial.path))
    labels = initial.labels and LabelTable(people_alone(initial.labels, pairs))
    return replace(initial, net=net, labels=labels)


def people_alone(labels: LabelTable, pairs: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Names of the people in no condition, in the order of their rows."""
    alone = {person: name for name, (person, condition) in zip(labels.names, pairs) if condition == NONE}
    return tuple(alone[person] for person in sorted(alone))


def adapted_arguments(initial: Initial, asked: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments of the network to train: the file's architecture, `fixed` by the latents.

    `asked` holds what the user gave for the model. UserError naming the first key that contradicts the file.
    """
    trained = initial.net.config
    for name, value in {**asked, **fixed}.items():
        if name in TRAINING_ONLY or value == trained[name]:
            continue
        if name in ("references", "combinations") and not trained[name]:
            continue  # in place of rows, or beside them: what tells people or conditions begins at nothing
        what, way_out = f"model.{name}={value!r}", "leave the key out, or start from other weights"
        if name in fixed:
            what, way_out = f"{name} {value!r} of the latents", "encode with the tokenizer of these weights"
        raise UserError(
            f"--init_from {initial.path}: the weights have {name} {trained[name]!r}, not {what}; {way_out}"
        )
    return {**trained, "use_checkpoint": False, **asked, **fixed}


def adapted_network(
    initial: Initial,
    arguments: dict[str, Any],
    labels: LabelTable,
    numbered: bool,
    further: Mapping[str, Tensor],
) -> LightningDiT:
    """The network of `arguments` with the initial weights, `further` ones and a class table for `labels`.

    Rows of users that both tables name are kept (`kept_rows`), as is the null class's; every other row starts
    as the mean of the old users' rows. Conditions start at 0. With references there is no table, and people's
    vectors are 0.
    """
    state = {**initial.net.state_dict(), **further}
    with torch.device("meta"):
        net = LightningDiT(**arguments)
    if arguments["references"]:
        state.pop(CLASS_TABLE, None)
        state[VECTORS] = torch.zeros(references_of(net).vectors.shape)
    else:
        state[CLASS_TABLE] = class_rows(initial, arguments, labels, numbered)
    if arguments["combinations"]:
        state[CONDITION_TABLE] = torch.zeros(net.get_parameter(CONDITION_TABLE).shape)
    load_strict(net, state, str(initial.path))
    return net.train()


def class_rows(initial: Initial, arguments: dict[str, Any], labels: LabelTable, numbered: bool) -> Tensor:
    """The class table of `adapted_network`, (classes, D) or with the null class's row; under conditions of
    the people.
    """
    old, classes = initial.net.state_dict()[CLASS_TABLE], initial.net.null_class
    mean = old[:classes].double().mean(0).to(old.dtype)
    kept = kept_rows(initial, labels, numbered)
    pairs = arguments["combinations"] or [(number, NONE) for number in range(len(labels))]
    rows = [old[kept[name]] if name in kept else mean for name in people_alone(labels, pairs)]
    if arguments["class_dropout_prob"] > 0:
        rows.append(old[classes] if len(old) > classes else mean)
    return torch.stack(rows)


def kept_rows(initial: Initial, labels: LabelTable, numbered: bool) -> dict[str, int]:
    """Names of `labels` whose row the weights hold, and where.

    A published file's classes are numbers. They are ours only where ours are upstream's (`numbered`) or
    ImageNet's thousand folders (n01440764, ...), which sort alike: a person called 7 is no rooster.
    """
    if initial.labels is not None:
        return {name: initial.labels.index(name) for name in labels.names if name in initial.labels.names}
    imagenet = len(labels) == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in labels.names)
    same = labels.names[: initial.net.null_class] if numbered or imagenet else ()
    return {name: index for index, name in enumerate(same)}


def beside_known(initial: Initial, latents: LatentSet) -> LatentSet:
    """The latents of people whom the weights do not know, in a condition either, labelled by a table of them
    and the known ones.

    UserError: the weights name no people, know all of them, or learnt other latents.
    """
    names, known = latents.label_table.names, initial.labels.names if initial.labels else ()
    held = {*known, *(initial.payload.labels.names if initial.payload else ())}  # in conditions, too
    new = [name for name in names if name not in held]
    if not known or not new:
        raise UserError(
            f"--tune person: {initial.path} knows {listing(known) or 'nobody by name'}, the "
            f"latents are of {listing(names)}; give weights of stage 2 and somebody new"
        )
    if initial.payload is None:  # stage 2 has found them to be of another tokenizer
        raise UserError(
            f"--tune person: {initial.path} learnt the latents of another tokenizer; encode "
            "the new images with that one"
        )
    table = LabelTable((*known, *new))
    place = torch.tensor([table.index(name) if name in new else -1 for name in names])[latents.labels]
    chosen = (place >= 0).nonzero().flatten()
    parts = {name: getattr(latents, name) for name in ("latents", "latents_std", "latents_flip")}
    parts = {name: None if rows is None else rows[chosen] for name, rows in parts.items()}
    paths = [latents.paths[index] for index in chosen.tolist()]
    return replace(latents, **parts, labels=place[chosen], label_table=table, paths=paths)


def is_tuned(name: str, parameter: Tensor, tune: str) -> bool:
    """Whether a parameter is trained; an encoder of references never is. "full": all others are; "difffit":
    biases and norms' scales, which are the parameters of one axis, and the class table (arXiv 2304.06648,
    without its further scale factors); "person": the class table (of which `hold_rows_` holds the known
    people's rows).
    """
    if name.startswith(ENCODER):
        return False
    return tune == "full" or name == CLASS_TABLE or (tune == "difffit" and parameter.ndim == 1)


def freeze_(net: nn.Module, tune: str) -> None:
    """Leave only what `tune` names trainable."""
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(is_tuned(name, parameter, tune))


def hold_rows_(net: LightningDiT, trained: Tensor) -> None:
    """Let only the `trained` rows of the class table have a gradient; without weight decay AdamW then
    leaves the others as they are, to the bit."""
    table = net.get_parameter(CLASS_TABLE)
    mask = torch.zeros(len(table), 1)
    mask[trained] = 1
    net.register_buffer("trained_rows", mask, persistent=False)  # so it goes to the device with the network
    table.register_hook(lambda gradient: gradient * net.get_buffer("trained_rows"))
