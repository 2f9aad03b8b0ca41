"""What a training of stage 2 starts from: people's latents and their statistics, weights, the network."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from configs.command_line import say
from configs.errors import UserError
from configs.schema import ModelConfig, TrainConfig, TransportConfig
from data.axes import Axes, agreed
from data.conditions import Conditions
from data.labels import listing
from data.latent_stats import LatentStatistics, read_recommendation
from data.latents import UPSTREAM_LAYOUT, LatentSet, read_latents
from models.lightningdit import LightningDiT, LightningDiT_models
from models.references import references_of
from runtime.seeds import generator
from sampling.imagenet import label_indices
from training.fine_tuning import (
    Initial,
    adapted_arguments,
    adapted_network,
    beside_known,
    hold_rows_,
    load_initial,
)


def read_people(config: TrainConfig) -> tuple[LatentSet, LatentSet | None, Conditions | None]:
    """Training and validation latents, under `--conditions` labelled by them, and what labels mean."""
    train, val = read_splits(Path(config.latent_dir))
    if config.conditions is None:
        return train, val, None
    conditions = Conditions.from_folders(train.label_table, config.conditions)
    return conditions.relabel(train), val and conditions.relabel(val), conditions


def read_splits(folder: Path) -> tuple[LatentSet, LatentSet | None]:
    """Training latents, and validation latents where stage 1 wrote some for the same people and tokenizer."""
    train = read_latents(folder, "train")
    if not any(folder.glob("val*.safetensors")):
        say(
            f"warning: {folder} has no validation latents; best.ckpt will be the latest, and "
            "over-fitting stays unseen"
        )
        return train, None
    val = read_latents(folder, "val")
    agreed(
        *((f"{folder}: {split}", axes_of(part, folder)) for split, part in (("train", train), ("val", val)))
    )
    if val.label_table != train.label_table or val.metadata.get("tokenizer_digest") != train.metadata.get(
        "tokenizer_digest"
    ):
        raise UserError(
            f"{folder}: train and val come from different people or tokenizers; run "
            "stage1_extract_features.py again"
        )
    return train, val


def axes_of(latents: LatentSet, folder: str | Path) -> Axes | None:
    """What the latents say of the images they came from."""
    return Axes.of(latents.metadata.get("axes"), str(folder))


def load_start(
    config: TrainConfig, transport: TransportConfig, train: LatentSet, references: bool
) -> Initial | None:
    """The weights of `--init_from`; refused where they were trained for another transport. `references`: the
    network shall know people by images, also where the weights have a row for each.
    """
    special = f"--tune {config.tune}" if config.tune != "full" else ""
    if not special and config.distil_guidance is not None:
        special = "--distil_guidance"
    if not config.init_from:
        if config.tune != "full":
            raise UserError(f"--tune {config.tune}: changes trained weights a little; add --init_from")
        if config.distil_guidance is not None:
            raise UserError(
                f"--distil_guidance {config.distil_guidance:g}: distils a trained model; add --init_from"
            )
        return None
    if config.tune == "person" and config.weight_decay:
        raise UserError(
            f"weight_decay={config.weight_decay} with --tune person would shrink the known "
            "people's rows; leave it out"
        )
    initial = load_initial(config.init_from)
    if config.conditions and special:
        raise UserError(f"{special}: requires people without conditions; leave out --conditions")
    for name in ("path_type", "prediction"):
        theirs = initial.payload.transport.get(name) if initial.payload else None
        ours = getattr(transport, name)
        if theirs not in (None, ours):
            raise UserError(
                f"--init_from {config.init_from}: trained with transport.{name}={theirs}, not {ours}; "
                f"set transport.{name}={theirs}"
            )
    if initial.net.config["flow_map"]:
        raise UserError(
            f"--init_from {config.init_from}: a few-step model; start from the one it was distilled from"
        )
    if initial.payload and initial.payload.tokenizer_digest != train.metadata.get("tokenizer_digest"):
        say(f"warning: {config.init_from} learnt the latents of another tokenizer")
        initial = replace(initial, payload=None)  # its statistics are those of other latents
    if (references or initial.net.config["references"]) and special:
        known_by = "model.references=true" if references else config.init_from
        raise UserError(
            f"{special}: requires a row for each person, {known_by} knows them by references; leave it out "
            "(stage 3's --references draws new people without training)"
        )
    if config.distil_guidance is not None:
        require_teacher(config, transport, initial, train)
    if config.tune == "person" and initial.payload:  # the known people stay as they are
        agreed(
            (config.init_from, initial.payload.axes), (config.latent_dir, axes_of(train, config.latent_dir))
        )
    return initial


def require_teacher(
    config: TrainConfig, transport: TransportConfig, initial: Initial, train: LatentSet
) -> None:
    """UserError: the weights cannot be distilled on these latents as asked."""
    asked = f"--distil_guidance {config.distil_guidance:g}"
    if config.tune != "full":
        raise UserError(f"{asked}: trains the whole network; leave --tune {config.tune} out")
    if transport.prediction != "velocity" or transport.path_type == "VP":
        raise UserError(
            f"{asked}: requires a velocity on the Linear or GVP path, found {transport.prediction} on "
            f"{transport.path_type}; train such a model first"
        )
    if config.distil_guidance != 1 and not initial.net.config["class_dropout_prob"]:
        raise UserError(f"{asked}: {initial.path} was trained without label dropout; expected 1")
    known = initial.labels.names if initial.labels else ()
    unknown = [name for name in train.label_table.names if name not in known]
    if unknown or initial.payload is None:
        lacks = f"does not know {listing(unknown)}" if unknown else "learnt the latents of another tokenizer"
        way_out = "train a model on these latents first"
        if unknown and initial.payload and initial.payload.model.get("combinations"):
            way_out = f"models of people in conditions are distilled for people in none, {listing(known)}"
        raise UserError(f"{asked}: {initial.path} {lacks}; {way_out}")


def with_all_people(
    config: TrainConfig, initial: Initial | None, train: LatentSet, val: LatentSet | None
) -> tuple[LatentSet, LatentSet | None]:
    """Both, under `--tune person` labelled beside the people whom the weights know, without these. UserError:
    people to be drawn are not among all these; stage 3 would say so only after training.
    """
    if config.tune == "person" and initial:
        given = len(train.labels)
        train, val = beside_known(initial, train), val and beside_known(initial, val)
        if val is not None and not len(val.labels):
            val = None
            say(f"warning: {config.latent_dir} has no validation latents of new people")
        if known := given - len(train.labels):
            say(f"{known} of {given} training latents are of people known to {initial.path}: not read")
    labels = train.label_table
    try:
        label_indices(labels, config.generate_user_ids)
    except UserError as error:
        raise UserError(f"--generate_user_ids: {error}") from error
    return train, val


def model_arguments(
    model: ModelConfig, train: LatentSet, initial: Initial | None = None, conditions: Conditions | None = None
) -> dict[str, Any]:
    """Constructor arguments of the LightningDiT: the preset, what overrides it, and what the latents say; or
    the architecture of the initial weights, which nothing asked for may contradict.

    UserError: a contradiction; references of one person, whom nobody can be told from, or of changed images.
    """
    if learns_people(model.references, initial) and len(train.labels.unique()) < 2:
        raise UserError(
            "model.references=true: requires latents of two people or more to tell apart, found 1; add "
            "people, or leave it out"
        )
    by_references = model.references or (initial is not None and initial.net.config["references"])
    if by_references and "augment" in train.metadata.get("preprocessing", {}):
        raise UserError(  # a walk would be shown itself, changed
            "model.references=true: expected latents of images as they are; make them without --augment_to"
        )
    chosen = {name: value for name, value in asdict(model).items() if value is not None}
    preset = chosen.pop("preset")
    fixed = {
        "input_size": train.latents.shape[-1],
        "in_channels": train.latents.shape[1],
        "num_classes": len(train.label_table),
        "combinations": conditions and conditions.pairs,
    }
    if initial:
        sizes = {} if preset == "auto" else LightningDiT_models[preset].keywords
        asked = {name: value for name, value in chosen.items() if name in model.given}
        return adapted_arguments(initial, {**sizes, **asked}, fixed)
    preset = preset_for(len(train.labels)) if preset == "auto" else preset
    with torch.device("meta"):
        return LightningDiT(**{**LightningDiT_models[preset].keywords, **chosen, **fixed}).config


def learns_people(references: bool, initial: Initial | None) -> bool:
    """Whether what tells people apart by images is learnt from the latents: no initial weights hold it."""
    return references and not (initial and initial.net.config["references"])


def initial_network(arguments: dict[str, Any], seed: int) -> LightningDiT:
    """A fresh LightningDiT whose weights depend on `seed` only; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "weights").initial_seed())
        return LightningDiT(**arguments)


def starting_network(
    initial: Initial | None,
    arguments: dict[str, Any],
    config: TrainConfig,
    train: LatentSet,
    statistics: LatentStatistics,
    resumed: bool,
) -> LightningDiT:
    """The network before its first step: freshly drawn, or the initial weights under the latents' labels.
    With references its encoder, where these weights hold none, is learnt here, unless a checkpoint of a
    `resumed` run will bring it.
    """
    net = drawn_or_given(initial, arguments, config, train)
    if arguments["references"] and not resumed:
        from training.references import know_people_, teach_  # not needed, and slow to load, elsewhere

        if learns_people(True, initial):
            teach_(references_of(net).encoder, train, statistics)
        know_people_(net, train, statistics)
    return net


def drawn_or_given(
    initial: Initial | None, arguments: dict[str, Any], config: TrainConfig, train: LatentSet
) -> LightningDiT:
    """`starting_network`, of references still without the people."""
    if initial is None:
        return initial_network(arguments, config.seed)
    numbered = train.metadata.get("layout") == UPSTREAM_LAYOUT
    further = {}
    if arguments["flow_map"] or arguments["references"] != initial.net.config["references"]:
        # One block is enough to draw what the weights lack.
        held, drawn = initial.net.state_dict(), initial_network({**arguments, "depth": 1}, config.seed)
        further = {name: value for name, value in drawn.state_dict().items() if name not in held}
    net = adapted_network(initial, arguments, train.label_table, numbered, further)
    if config.tune == "person":
        hold_rows_(net, train.labels.unique())
    return net


def preset_for(num_latents: int) -> str:
    """Model by the size of the data: small data over-fits a large model before it has learnt anything a small
    one has not.
    """
    for limit, preset in (
        (20_000, "LightningDiT-S/2"),
        (100_000, "LightningDiT-B/2"),
        (500_000, "LightningDiT-L/2"),
    ):
        if num_latents < limit:
            return preset
    return "LightningDiT-XL/1"


def chosen_statistics(config: TrainConfig, initial: Initial | None) -> str:
    """`micro_doppler` (the data's own) or `imagenet`, as asked; with `auto` `initial`, those that the
    weights to start from were trained with, or as stage 1 recommended.
    """
    free = config.tune != "person" and config.distil_guidance is None
    if config.statistics != "auto" and free:
        return config.statistics
    if initial and initial.payload:
        return "initial"
    advice = Path(config.latent_dir) / "stats_recommendation.txt"
    return read_recommendation(advice) if advice.is_file() else "micro_doppler"


def read_statistics(config: TrainConfig, channels: int, initial: Initial | None) -> LatentStatistics:
    """The chosen statistics; UserError where they are not of latents with so many channels."""
    choice = chosen_statistics(config, initial)
    say(f"statistics: {choice}")
    if choice == "initial" and initial and initial.payload:
        return initial.payload.statistics
    name = "latents_stats_imagenet.pt" if choice == "imagenet" else "latents_stats.pt"
    statistics = LatentStatistics.load(Path(config.latent_dir) / name)
    if statistics.num_channels != channels:
        raise UserError(
            f"{Path(config.latent_dir) / name}: {statistics.num_channels} channels, the latents have "
            f"{channels}; run stage1_extract_features.py again"
        )
    return statistics
