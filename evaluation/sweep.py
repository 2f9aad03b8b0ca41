"""Which network, guidance and sampler to take: a small set drawn by each, and what it scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import changed, identity, idle_notes
from configs.load import resolve
from configs.schema import SampleConfig, SweepConfig
from data.atomic import replacing, write_text
from data.axes import axes_of_images
from data.images import ImageRecord, inputs_digest
from data.labels import LabelTable, listing
from data.progress import progress
from data.run_record import claim_folder
from data.tables import aligned
from evaluation.features import ImageSet, read
from evaluation.folders import open_real
from evaluation.generated import find_generated
from evaluation.judge import Judge
from evaluation.measure import measure, obtain_judges, units_of
from evaluation.report.tables import said, value_of, words
from runtime.devices import resolve_device
from sampling.image_folder import finish
from sampling.image_sampler import batches_of, build_image_sampler, wanted_of
from sampling.latent_sampler import is_few_step
from sampling.model_file import load_trained, weights_digest
from sampling.networks import Networks, load_networks, require_tokenizer_of
from weight_files.hub import with_local_files

MARGIN = 0.01
RULE = (
    "the lowest KID among the settings whose accuracy reaches that of held-out real images (more is "
    "caricature) or the lower end of the best setting's 95 % interval, and whose "
    f"memorised share exceeds that of held-out real images by {100 * MARGIN:.0f} point at most"
)
FIXED = (  # keys of stage 3 that a sweep draws by and does not vary
    *("guidance_condition", "guidance_person", "guidance_interval", "guidance_channels", "guidance_rescale"),
    *("timestep_shift", "timestep_cosine", "restart_interval", "atol", "rtol", "few_steps"),
)
# Of what `evaluation.measure` gives: shares of the images, and distances in the judge's features.
MEASURES = ("judged_right", "kid", "coverage", "memorised", "impossible")


def score(
    judge: Judge, sets: dict[str, ImageSet], people: LabelTable, units: dict[str, str], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """MEASURES of the generated images of one setting, and of held-out real ones (of their distances: real
    training pictures'), as stage 4 gives them of these `sets` of `evaluation.measure.SETS`.

    UserError: too few images for a distance.
    """
    metrics = measure(sets, [judge], people, units, seed=seed)
    if "distances" not in metrics:
        raise UserError("a setting has too few images for a distance; raise --num_samples_per_user")
    near = metrics["distances"]["judge"]
    drawn, real = (
        {name: near[name][other] if name in near else metrics[kind][name] for name in MEASURES}
        for kind, other in (("generated", "generated"), ("real", "floor"))
    )
    return drawn, real


def recommend(settings: list[dict[str, Any]], real: dict[str, Any]) -> int | None:
    """Which of the settings RULE chooses, where `real` are the held-out images' MEASURES; None where all
    copy, or where the least copying ones are not the person.
    """
    best = max(settings, key=lambda one: one["judged_right"]["share"])["judged_right"]
    enough = min(best["interval"][0], real["judged_right"]["share"])
    fit = [
        place
        for place, one in enumerate(settings)
        if one["judged_right"]["share"] >= enough
        and one["memorised"]["share"] <= real["memorised"]["share"] + MARGIN
        and one["kid"]["value"] is not None
    ]
    return min(fit, key=lambda place: settings[place]["kid"]["value"], default=None)


def draw_figure(sweep: dict[str, Any], path: Path) -> None:
    """MEASURES against guidance, a line for each sampler, the recommended setting ringed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    *axes, legend = figure.subplots(2, 3).flat
    settings = sorted(sweep["settings"], key=lambda one: one["guidance"])
    for panel, name in zip(axes, MEASURES, strict=True):
        for sampler in dict.fromkeys(one["sampler"] for one in sweep["settings"]):
            shown = [one for one in settings if one["sampler"] == sampler and one[name]["interval"]]
            points = [[one["guidance"], value_of(one[name])] for one in shown]
            values = numpy.array(points).reshape(-1, 2).T
            ends = numpy.array([one[name]["interval"] for one in shown]).reshape(-1, 2).T
            panel.errorbar(*values, abs(ends - values[1]), marker="o", capsize=3, label=sampler)
        if sweep["recommended"] is not None:
            chosen = sweep["settings"][sweep["recommended"]]
            panel.plot(chosen["guidance"], value_of(chosen[name]), "o", ms=14, mfc="none", color="black")
        if (real := value_of(sweep["real"][name])) is not None:
            panel.axhline(real, color="grey", ls=":", label="held-out real")
        panel.set(title=words(name), xlabel="guidance scale")
    legend.axis("off")
    legend.legend(*axes[0].get_legend_handles_labels(), loc="center")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def table(sweep: dict[str, Any]) -> list[str]:
    """A line per setting, the recommended one marked, held-out real images, and the rule."""
    rows = [["sampler", "guidance", *map(words, MEASURES)]]
    for place, one in enumerate(sweep["settings"]):
        mark = " *" * (place == sweep["recommended"])
        figures = [said(one[name], name)[0] for name in MEASURES]
        rows.append([one["sampler"], f"{one['guidance']:g}{mark}", *figures])
    rows.append(["held-out real", "", *(said(sweep["real"][name], name)[0] for name in MEASURES)])
    verdict = "recommended (*)" if sweep["recommended"] is not None else "none is recommended; the rule"
    return [*aligned(rows), f"{verdict}: {sweep['rule']}"]


def run(config: SweepConfig, drawing: Mapping[str, Any] | None = None) -> None:
    """Draw and score a small set for every network, sampler, number of restarts and guidance scale;
    sweep.json, sweep.png. `drawing` are keys of stage 3 (`as_drawn`).
    """
    config = with_local_files(config)
    config, fixed = as_drawn(config, drawing or {})
    splits, colour_map = open_real(config)
    people, real = splits.labels, splits.records
    config = changed(config, colour_map=colour_map)
    folder, held_out = Path(config.output_dir), "test" if "test" in real else "val"
    models = models_of(config, people)
    if all(is_few_step(networks.payload) for networks in models.values()):
        idle = [f"--{name}" for name in ("guidance", "samplers", "num_steps") if name in config.given]
        for note in idle_notes({"a few-step model has its own": idle}):
            say(note)
    first = models[config.dit_checkpoint]
    drawn = config.dit_checkpoint, first.payload.axes
    axes = axes_of_images(config.real, splits.paths(), config.axes, drawn)
    config = replace(config, axes=axes.scales() if axes else [])
    claimed = identity(
        config,
        real={name: inputs_digest(part) for name, part in real.items()},
        dit_checkpoint=weights_digest(first.net),
        vavae_path=first.vae.digest,
    ) | ({"sample": fixed} if fixed else {})
    with claim_folder(folder, claimed, "sweep.*", config.dry_run):
        if config.dry_run:
            settings = len(list(settings_of(config, models)))
            number = settings * len(people) * config.num_samples_per_user
            return tell_plan(
                {"sweep": config},
                reads=[config.real, *models, config.vavae_path],
                writes=[folder],
                does=f"draw {number} images in {settings} settings, score them",
            )
        score_settings(config, models, people, real, held_out, fixed)


def as_drawn(config: SweepConfig, drawing: Mapping[str, Any]) -> tuple[SweepConfig, dict[str, Any]]:
    """The sweep with the solver, steps and restarts of `drawing` where it was not asked for other ones, and
    the settings that it holds fixed: what is measured is then what stage 3 draws by the same preset.
    UserError: a value that stage 3 would refuse.
    """
    required = {"dit_checkpoint": config.dit_checkpoint, "vavae_path": config.vavae_path}
    checked = resolve(("sample",), {"sample": {**drawing, **required}})["sample"]
    drawing = {name: getattr(checked, name) for name in drawing}
    swept = {"sampler": "samplers", "restarts": "restarts", "num_steps": "num_steps"}
    usual: dict[str, Any] = {
        key: drawing[name] if key == "num_steps" else [drawing[name]]
        for name, key in swept.items()
        if name in drawing and key not in config.given
    }
    plain = resolve(("sample",), {"sample": required})["sample"]
    asked = {name for name, value in drawing.items() if value != getattr(plain, name)}
    fixed = {name: drawing[name] for name in FIXED if name in asked}
    if idle := [f"sample.{name}" for name in drawing if name not in (*FIXED, *swept)]:
        say(f"note: {', '.join(idle)}: not read, the sweep has flags for what it varies")
    said = [f"{name} {value}" for name, value in (usual | fixed).items()]
    if said:
        say(f"drawing as the preset or sample.… has it: {', '.join(said)}")
    return changed(config, **usual), fixed


def models_of(config: SweepConfig, people: LabelTable) -> dict[str, Networks]:
    """The networks of every checkpoint, with one tokenizer. UserError: one draws somebody else, of people in
    conditions nobody of `people`, or has other axes than the first.
    """
    first = load_networks(config.dit_checkpoint, config.vavae_path, None, resolve_device("auto"), "auto")
    models = {config.dit_checkpoint: first}
    for path in config.checkpoints:
        if path not in models:
            net, payload = load_trained(path)
            require_tokenizer_of(config.vavae_path, first.vae, net, payload)
            models[path] = first._replace(net=net, payload=payload)
    for path, networks in models.items():
        flag = "--dit_checkpoint" if networks is first else "--checkpoints"
        payload, names = networks.payload, networks.payload.labels.names
        others = [name for name in names if name not in people.names]
        if payload.model.get("combinations") and 0 < len(others) < len(names):
            say(f"{flag} {path}: {len(others)} combinations without images in --real are not drawn")
        elif others:
            raise UserError(
                f"{flag} {path}: draws {listing(others)}; expected people of --real {config.real}, "
                f"{listing(people.names)}; give the data that the model was trained on as --real"
            )
        if payload.axes != first.payload.axes:
            raise UserError(
                f"{flag} {path}: trained on images of axes {payload.axes}; expected "
                f"{first.payload.axes}, as of --dit_checkpoint; sweep it alone"
            )
    return models


def score_settings(
    config: SweepConfig,
    models: dict[str, Networks],
    people: LabelTable,
    real: dict[str, list[ImageRecord]],
    held_out: str,
    fixed: dict[str, Any],
) -> None:
    """Draw and score every setting with the `fixed` ones, and write what was found."""
    folder = Path(config.output_dir)
    sets = {name: read(part, people, config.axes, config.colour_map) for name, part in real.items()}
    judge = obtain_judges(folder, sets["train"], sets.get("val"), people, config.seed)[0]
    settings: list[dict[str, Any]] = []
    usual: dict[str, Any] = {}
    further = [path for path in models if path != config.dit_checkpoint]
    prefixes = {path: f"{weights_digest(models[path].net)[:12]}_" for path in further}
    for path, chosen in settings_of(config, models):
        networks, restarts = models[path], chosen["restarts"]
        drawn = folder / (prefixes.get(path, "") + folder_name(chosen, config.num_steps))
        asked = draw_setting(replace(config, dit_checkpoint=path), networks, people, fixed | chosen, drawn)
        # An earlier run may have drawn more; settings compare by equally many.
        records = [record for record in find_generated(drawn, people).records if record.path.name in asked]
        generated = read(records, people, config.axes, config.colour_map)
        compared = {"train": sets["train"], "held_out": sets[held_out], "generated": generated}
        scores, usual = score(judge, compared, people, units_of(bool(config.axes)), config.seed)
        solver = chosen.get("sampler", "few steps")
        named = ", ".join([solver, *[f"{restarts} restarts"] * (restarts > 0), *[path] * (len(models) > 1)])
        guidance = chosen.get("guidance_scale", networks.payload.config.get("distil_guidance"))
        settings.append({"guidance": guidance, "sampler": named, **scores})
    best = recommend(settings, usual)
    sweep = {"settings": settings, "recommended": best, "rule": RULE, "real": usual}
    write_text(folder / "sweep.json", json.dumps(sweep, indent=1) + "\n")
    draw_figure(sweep, folder / "sweep.png")
    say("\n".join([*table(sweep), f"wrote {folder / 'sweep.json'} and {folder / 'sweep.png'}"]))


def settings_of(config: SweepConfig, models: Mapping[str, Networks]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each checkpoint with each of the settings asked for; a few-step one has a sampler and guidance of its
    own.
    """
    for path, networks in models.items():
        if is_few_step(networks.payload):
            yield from ((path, {"restarts": restarts}) for restarts in config.restarts)
            continue
        for sampler, restarts, guidance in product(config.samplers, config.restarts, config.guidance):
            yield path, {"sampler": sampler, "guidance_scale": guidance, "restarts": restarts}


def folder_name(chosen: Mapping[str, Any], num_steps: int) -> str:
    """abm3_1.5_15_5, of a setting of `settings_of`."""
    again = [str(chosen["restarts"])] if chosen["restarts"] else []
    if "sampler" not in chosen:
        return "_".join(["few_steps", *again])
    return "_".join([chosen["sampler"], f"{chosen['guidance_scale']:g}", str(num_steps), *again])


def draw_setting(
    config: SweepConfig, networks: Networks, people: LabelTable, chosen: dict[str, Any], folder: Path
) -> set[str]:
    """Draw `people` into `folder` as stage 3 does with the settings `chosen`; what is there stays. Names of
    the images asked for.
    """
    names = ("dit_checkpoint", "vavae_path", "num_samples_per_user", "num_steps", "seed")
    given = {name: getattr(config, name) for name in names}
    given |= chosen | {"output_dir": str(folder)}
    settings: SampleConfig = resolve(("sample",), {"sample": given})["sample"]
    labels = networks.payload.labels
    sampler, claimed = build_image_sampler(
        settings, networks.net, networks.payload, networks.vae, networks.precision, {}
    )
    users = [label for label, name in enumerate(labels.names) if name in people.names]
    images = wanted_of(labels, users, config.num_samples_per_user)
    with claim_folder(folder, claimed, "micro_doppler_*.png"):
        with progress(total=len(images), description=folder.name, unit="img") as bar:
            for batch in batches_of(images, settings.batch_size):
                sampler.draw_batch(batch)
                bar.update(len(batch))
        finish(folder, images, labels, users)
    return {image.name for image in images}
