"""The work of stage 4: judges, figures and images of every generator beside the same real images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from configs.command_line import say
from configs.schema import EvaluateConfig
from data.conditions import Conditions
from data.images import ImageRecord
from data.labels import LabelTable
from data.physical_augmentation import Physical
from data.split_files import read_groups
from evaluation.augmentation_study import WITHOUT_AXES, Answers, study
from evaluation.classifiers import Labelled
from evaluation.comparison import compare_generators
from evaluation.distances import REFERENCE
from evaluation.examples import examples_of
from evaluation.features import NETWORKS, ImageSet, Networks, describe, encoder, read, read_with
from evaluation.folders import ALONE, places_of
from evaluation.generated import Generated
from evaluation.groups import PARTS as GROUPED_PARTS
from evaluation.groups import Grouped, group_figures, pieces_of
from evaluation.judge import Judge
from evaluation.linear_judge import train_linear_judge
from evaluation.measure import SETS, Measured, Stopwatch, measure_each, obtain_judges, of_generator, units_of
from evaluation.motion import QUANTITIES
from evaluation.named_judge import Network, network_named
from evaluation.planted import beside_their_originals, plant, planted_table
from evaluation.reconstruction import reconstructions, tokenizer_check
from evaluation.report import sheets
from evaluation.report.summary import answers, sentences
from evaluation.velocity_intervention import followed_speeds
from runtime.devices import resolve_device
from tokenizer.vavae import VAVAE

LATENTS = "latents"  # among the networks: the tokenizer


class Inputs(NamedTuple):
    """What is measured: the people, real images by part of the split, and every generator's; the part of
    train that the judges learn from; groups of held-out images; the range in dB that colours stand for, if
    known; what folders mean, and a sweep to be shown, if asked for.
    """

    people: LabelTable
    real: dict[str, list[ImageRecord]]
    generated: Mapping[str, Generated]
    judged: list[ImageRecord]
    groups: dict[str, Grouped]
    range_db: float | None = None
    conditions: Conditions | None = None
    sweep: dict[str, Any] | None = None

    @property
    def held_out(self) -> str:
        """The part of the split that generated images stand beside."""
        return "test" if "test" in self.real else "val"

    @property
    def drawn(self) -> dict[str, list[ImageRecord]]:
        """The images of every generator."""
        return {name: one.records for name, one in self.generated.items()}


class Seen(NamedTuple):
    """Records and images, in time order, of "train", "held_out" and every generator, and what each network
    says of them, {network: {set: (N, ...)}}; validation images, and these beside the held-out ones.
    """

    records: dict[str, list[ImageRecord]]
    sets: dict[str, ImageSet]
    features: dict[str, dict[str, numpy.ndarray]]
    val: ImageSet | None
    everything: ImageSet


def look(config: EvaluateConfig, inputs: Inputs, side: int | None, networks: Networks) -> Seen:
    """Read every image once, for a judge that takes whole ones of `side` pixels, or reduced ones, and for
    `networks`.
    """
    given, real = (inputs.people, config.axes, config.colour_map, side), inputs.real
    records = {"train": real["train"], "held_out": real[inputs.held_out], **inputs.drawn}
    readings = {name: read_with(networks, part, *given) for name, part in records.items()}
    sets = {name: images for name, (images, _) in readings.items()}
    features = {
        network: {name: by_network[network] for name, (_, by_network) in readings.items()}
        for network in networks
    }
    tell_unread(sets)
    held_out = sets["held_out"]
    if inputs.held_out == "val":
        return Seen(records, sets, features, held_out, held_out)
    val = read(real["val"], *given) if "val" in real else None
    return Seen(records, sets, features, val, val.beside(held_out) if val else held_out)


def evaluate(config: EvaluateConfig, inputs: Inputs, folder: Path) -> dict[str, Any]:
    """All sections of metrics.json but the inputs; images and judges go into `folder`.

    Of several generators the sections that are theirs are in "generators" by name, with "comparison" beside
    them, and their images in a folder each.
    """
    # Networks, images, and features by the networks
    people, seconds = inputs.people, Stopwatch()
    vae, networks, network = load_networks(config)
    with seconds.part("reading"):
        seen = look(config, inputs, network.side, networks)
    with seconds.part("judges"):
        learnt_from = seen.sets["train"].at(places_of(inputs.judged, inputs.real["train"]))
        seeds = config.seed, config.judge_seeds
        judges = obtain_judges(folder, learnt_from, seen.val, people, *seeds, network.build)
        linear = train_linear_judge(learnt_from, seen.val, len(people), config.colour_map)
    latents, check = seen.features.pop(LATENTS, None), None
    if vae and latents:
        with seconds.part("tokenizer"):
            check = try_tokenizer(vae, latents["held_out"], seen, judges[0], config, network.side)

    # Figures, first those that are the same for every generator
    units = units_of(bool(config.axes))
    known: dict[str, Any] = {"linear": linear, "latents": latents, "further": seen.features}
    known |= {"seed": config.seed, "seconds": seconds}
    measured = measure_each(seen.sets, judges, people, units, [*inputs.generated], **known)
    shared: dict[str, Any] = {"people": people.names, "chance": 1 / len(people)}
    shared |= {"held_out": inputs.held_out, "units": units, **measured.shared}
    if check:
        shared["tokenizer"] = check | {"judged_right": shared["reconstructed"]["judged_right"]}
    if inputs.groups:
        shared["groups"] = group_figures(judges[0], seen.everything, inputs.groups, people)
    if inputs.sweep:
        shared["sweep"] = inputs.sweep
    alone, requested = len(inputs.generated) == 1, on_request(config, inputs, seen, measured, seconds)
    for name, metrics in measured.sections.items():
        metrics |= {"selected": inputs.generated[name].selected_by is not None, **requested[name]}
        with seconds.part("pictures"):
            draw_pictures(folder if alone else folder / name, name, metrics, seen, measured, people)
        metrics |= {"answers": answers(shared | metrics), "summary": sentences(shared | metrics)}
    counts = {name: len(part) for name, part in {**inputs.real, **inputs.drawn}.items()}
    shared |= {"counts": counts, "seconds": seconds}
    if alone:
        return shared | measured.sections[ALONE]
    with seconds.part("comparison"):
        comparison = compare(measured, seen.sets, people, config.seed)
        beside = {"real": seen.records["held_out"], **inputs.drawn}
        sheets.generators_beside_real(folder / "generators_beside_real.png", beside, people)
    of_each = {"generators": measured.sections, "comparison": comparison}
    return {**shared, **of_each, "summary": comparison["summary"]}


def on_request(
    config: EvaluateConfig, inputs: Inputs, seen: Seen, measured: Measured, seconds: Stopwatch
) -> dict[str, dict[str, Any]]:
    """Sections of each generator that are made on request: planted copies, the augmentation study, whether
    velocities follow conditions. What does not depend on the generator is done once.
    """
    people = inputs.people
    sections: dict[str, dict[str, Any]] = {name: {} for name in measured.sections}
    if config.planted:
        with seconds.part("planted"):
            copies = plant(inputs.real["train"], config.colour_map, inputs.range_db, config.seed)
            beside = beside_their_originals(copies, seen.sets["train"].images)
            for name, requested in sections.items():
                sets, near = of_generator(seen.sets, name), of_generator(measured.near, name)
                requested["planted"] = planted_table(beside, sets, near, people, config.seed)
    if config.verdict:
        shared: Answers = {}
        with seconds.part("verdict"):
            for name, requested in sections.items():
                requested |= augmentation_study(config, inputs, seen, name, shared)
    if conditions := inputs.conditions:
        for name, requested in sections.items():
            new = inputs.generated[name].unrecorded
            unrecorded = read(new, conditions.labels, config.axes, config.colour_map) if new else None
            sets = of_generator(seen.sets, name)
            requested["velocity_intervention"] = followed_speeds(
                conditions, sets, unrecorded, people, config.truth
            )
    return sections


def compare(measured: Measured, sets: dict[str, ImageSet], people: LabelTable, seed: int) -> dict[str, Any]:
    """The generators against each other."""
    names = (REFERENCE, *measured.sections)
    spaces = {space: {name: features[name] for name in names} for space, features in measured.spaces.items()}
    labels = {name: sets[name].labels for name in names}
    return compare_generators(spaces, labels, measured.flags, people, seed)


def sections_of(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """What metrics.json would hold of one generator of several."""
    kept = {key: value for key, value in metrics.items() if key not in ("generators", "comparison")}
    counts = {key: count for key, count in kept["counts"].items() if key not in metrics["generators"]}
    return {**kept, "counts": {**counts, ALONE: metrics["counts"][name]}, **metrics["generators"][name]}


def augmentation_study(
    config: EvaluateConfig, inputs: Inputs, seen: Seen, name: str, shared: Answers
) -> dict[str, Any]:
    """Whether images of the generator `name` help a classifier, also by the groups of all held-out ones;
    `shared` as in `evaluation.augmentation_study.study`.
    """
    sets, table = of_generator(seen.sets, name), read_groups(config.real)
    held = [(part, record) for part in GROUPED_PARTS for record in inputs.real.get(part, ())]
    tested = [one for one in held if one[0] == inputs.held_out]
    real, held_out, generated = (Labelled(*sets[kind][:2]) for kind in SETS)
    held_out = held_out._replace(days=pieces_of(table, tested))
    both = {key: group.places for key, group in inputs.groups.items() if group.both}
    grouped = Labelled(*seen.everything[:2], pieces_of(table, held))
    physical = Physical(config.axes[:2], config.colour_map, inputs.range_db) if config.axes else None
    if not physical:
        say(WITHOUT_AXES)
    return study(
        *(real, held_out, generated, inputs.people),
        seeds=config.verdict_seeds,
        seed=config.seed,
        grouped=grouped,
        groups=both,
        physical=physical,
        runs=numpy.array(inputs.generated[name].runs or [0] * len(generated.labels)),
        shared=shared,
    )


def tell_unread(sets: dict[str, ImageSet]) -> None:
    """Say how many real images show no motion that can be read."""
    motion = numpy.concatenate([sets["train"].motion, sets["held_out"].motion])
    unread = int(numpy.isnan(motion[:, QUANTITIES.index("torso_velocity")]).sum())
    if unread:
        say(
            f"warning: no motion could be read in {unread} of {len(motion)} real images: are they "
            "spectrograms of walks, in the colours of --colour_map?"
        )


def load_networks(config: EvaluateConfig) -> tuple[VAVAE | None, dict[str, tuple[Any, int]], Network]:
    """The tokenizer, the networks of features (LATENTS: its encoder), and what makes judges; their errors
    come before any work.
    """
    device = resolve_device(config.device)
    vae = VAVAE.from_file(config.vavae_path, device=device) if config.vavae_path else None
    given = {name: getattr(config, name) for name in NETWORKS if getattr(config, name)}
    networks = {name: (NETWORKS[name][0](path, device), NETWORKS[name][1]) for name, path in given.items()}
    networks |= {LATENTS: (encoder(vae), vae.image_size)} if vae else {}
    return vae, networks, network_named(config.judge, device)


def try_tokenizer(
    vae: VAVAE, latents: numpy.ndarray, seen: Seen, judge: Judge, config: EvaluateConfig, side: int | None
) -> dict[str, Any]:
    """The tokenizer's check on the held-out images, of which `latents` are; the sets gain "reconstructed"."""
    fidelity: dict[str, list[float]] = {}
    rebuilt = reconstructions(vae, latents, seen.records["held_out"], fidelity)
    real, sets = seen.sets["held_out"], seen.sets
    sets["reconstructed"] = describe(rebuilt, real.labels, config.axes, config.colour_map, side)
    unit = "mps" if config.axes else "bins"
    return tokenizer_check(judge, real, sets["reconstructed"], fidelity, unit)


def draw_pictures(
    folder: Path, name: str, metrics: dict[str, Any], seen: Seen, measured: Measured, people: LabelTable
) -> None:
    """The PNG files of a generator beside its metrics.json; the closest pairs get their files' names, and
    what the judge makes of each person the section "examples".
    """
    folder.mkdir(exist_ok=True)
    generated, training = seen.records[name], seen.records["train"]
    real = seen.records["held_out"]
    sheets.real_beside_generated(folder / "real_beside_generated.png", real, generated, people)
    sheets.closest_pairs(folder / "closest_pairs.png", metrics["closest_pairs"], generated, training)
    labels = {kind: part.labels for kind, part in of_generator(seen.sets, name).items()}
    sheets.overlap(folder / "overlap.png", of_generator(measured.judged, name), labels, people)
    chosen = examples_of(measured.opinions[name], measured.opinions["held_out"], labels, people)
    sheets.examples(folder / "examples.png", real, generated, chosen)
    metrics["examples"] = {
        person: example.entry(real, generated, people) for person, example in chosen.items()
    }
    top = sheets.at_the_top(metrics["examples"])
    sheets.first_look(folder / "first_look.png", real, generated, top)
    for pair in metrics["closest_pairs"]:
        pair["generated"] = generated[pair["generated"]].path.name
        pair["train"] = training[pair["train"]].relative
