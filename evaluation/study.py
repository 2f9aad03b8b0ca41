"""Studies that train the generator, too: do generated images help where people are short of data?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

from configs.command_line import say, unread_overrides
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.keys import identity, idle_notes
from configs.schema import SECTIONS, StudyConfig
from data.atomic import write_text
from data.axes import axes_of_images, read_axes
from data.images import Splits, file_digest, inputs_digest
from data.labels import LabelTable, listing, natural_key
from data.physical_augmentation import Physical
from data.run_record import claim_folder
from data.split_files import read_groups
from evaluation.augmentation_study import WITHOUT_AXES
from evaluation.classifiers import seconds_of_step
from evaluation.folders import open_real
from evaluation.report.page import write_report
from evaluation.study_arms import ARMS, BY_PHYSICS
from evaluation.study_designs import Fold, People, new_person, other_day, same_budget, unseen_condition
from evaluation.study_figures import figures_of_study, study_table
from evaluation.study_fold import Answers, Setting, answers_of, arms_of, trainings_of
from sampling.model_file import load_trained, weights_digest
from sampling.references import require_references
from tokenizer.weights import resolve_path
from weight_files.hub import with_local_files


def run(config: StudyConfig, further: Sequence[str] = ()) -> None:
    """Train generators and classifiers by a design, and say whether generated images help: same-budget,
    new-person, other-day or unseen-condition. `--config` and section.key=value go to stages 1 to 3.
    """
    # Images, folds
    trained = unread_overrides([["stage3_inference.py"]], further)
    if config.dit_checkpoint and trained:
        say(*idle_notes({"--dit_checkpoint draws by a finished model": trained}))
    config = with_local_files(config)
    splits, colour_map = open_real(config)
    axes = axes_of_images(config.real, splits.paths(), config.axes)
    config = replace(config, colour_map=colour_map)
    people, table = People.of(splits.labels, config.conditions), read_groups(config.real)
    folds = folds_of(config, splits, people, table)
    physical = Physical(axes.scales()[:2], colour_map, axes.range_db) if axes else None
    if not physical and any(ARMS[word] in BY_PHYSICS for word in config.arms):
        say(WITHOUT_AXES)
    known = {path.split("/", 1)[-1]: row for path, row in read_axes(config.real).items()}
    setting = Setting(config, people, known, physical, further)

    # Work
    folder, file = Path(config.output_dir), resolve_path(config.vavae_path)
    digests = {name: inputs_digest(part) for name, part in splits.records.items()}
    model = model_digest(config.dit_checkpoint, folds)
    contents = {"real": digests, "vavae_path": file_digest(file), "dit_checkpoint": model}
    shown = replace(axes, colour_map=colour_map).known() if axes else None  # of axes.csv, too
    context = {"stages": told_stages(further), "known_axes": shown}
    if config.conditions and config.design in ("same-budget", "new-person"):
        context["counted"] = "people"  # earlier versions counted folders, and went on by the same names
    claimed = identity(config, **contents) | context
    with claim_folder(folder, claimed, "study.json", config.dry_run):
        if config.dry_run:
            return tell_plan(
                {"study": config},
                reads=[f"{config.real}: {len(splits.paths())} images"],
                writes=[folder],
                does=plan_of(setting, folds),
            )
        say(plan_of(setting, folds))
        answers = answers_of_all(folds, setting, folder)
        sections = figures_of_study(folds, answers, setting, table)
        sections |= {"design": config.design, "settings": claimed}
        write_report(folder, sections, {})
        write_text(folder / "study.json", json.dumps(sections, indent=1) + "\n")
    say("\n".join(study_table(sections)))
    say(f"all figures are in {folder / 'study.json'}\nlook at {folder / 'report.html'}")


def model_digest(checkpoint: str | None, folds: Sequence[Fold]) -> str | None:
    """What the model that draws is known by; None: one is trained. UserError: it cannot be shown images, or
    a fold has none of somebody whom it draws, such as a person in a condition that is left out.
    """
    if checkpoint is None:
        return None
    net, _ = load_trained(checkpoint)
    require_references(net, f"--dit_checkpoint {checkpoint}")
    for fold in folds:
        unseen = sorted(set(fold.drawn) - {record.user for _, record in fold.training}, key=natural_key)
        if unseen:
            raise UserError(
                f"--dit_checkpoint {checkpoint}: draws whom it is shown, and fold {fold.name} has no "
                f"images of {listing(unseen, 5)}; leave it out, and generators are trained"
            )
    return weights_digest(net)


def answers_of_all(folds: Sequence[Fold], setting: Setting, folder: Path) -> list[Answers]:
    """Fold after fold, with the time that is left."""
    answers, longest = [], 0.0
    for place, fold in enumerate(folds, start=1):
        started = time.monotonic()
        answers.append(answers_of(fold, setting, folder / f"fold_{fold.name}"))
        taken, left = time.monotonic() - started, len(folds) - place
        longest = max(longest, taken)  # what an earlier run has finished takes no time
        if left:
            say(f"fold {fold.name}: {taken / 60:.0f} min; {left} more of about {longest / 60:.0f} min each")
    return answers


def folds_of(
    config: StudyConfig, splits: Splits, people: People, table: Mapping[str, Mapping[str, str]]
) -> list[Fold]:
    """Of the design asked for; its errors, and those of `require_possible`."""
    count, drawn = config.images_per_person, config.num_generated
    makers: dict[str, Callable[[], list[Fold]]] = {
        "same-budget": lambda: same_budget(splits, people, count, drawn),
        "new-person": lambda: new_person(splits, people, count, config.new_people, config.folds, drawn),
        "other-day": lambda: other_day(splits, table, people, config.day_images, drawn),
        "unseen-condition": lambda: unseen_condition(splits, people, config.conditions, drawn),
    }
    folds = makers[config.design]()
    for fold in folds:
        require_possible(fold, people, config.conditions)
    return folds


def require_possible(fold: Fold, people: People, pattern: str | None) -> None:
    """UserError: somebody counts who is not tested, or is drawn whom stage 2 would not know."""
    tested = {people.of_folder[record.user] for _, record in fold.tested}
    if untested := [name for name in fold.counted if name not in tested]:
        raise UserError(
            f"study: fold {fold.name}: expected held-out images of {listing(untested, 5)} to test, found "
            "none; split anew, or --leave_out these people"
        )
    learnt = sorted({record.user for _, record in fold.training}, key=natural_key)
    known = People.of(LabelTable(tuple(learnt)), pattern).folders.names
    if unknown := [name for name in fold.drawn if name not in known]:
        raise UserError(
            f"study: fold {fold.name}: its generator would not know {listing(unknown, 5)}; expected people, "
            "and conditions, of its training images"
        )


def told_stages(further: Sequence[str]) -> str:
    """What decides how stages 1 to 3 make images, of the arguments that they get: the preset's digest and the
    overrides of keys that affect anything.
    """
    parts: list[str] = []
    affects = {
        f"{section}.{item.name}": item.metadata["affects"]
        for section, keys in SECTIONS.items()
        for item in fields(keys)
    }
    for before, token in zip(["", *further], further):
        if before == "--config":
            parts.append(file_digest(token))
        elif affects.get(token.partition("=")[0], "nothing") != "nothing":
            parts.append(token)
    return " ".join(parts)


def plan_of(setting: Setting, folds: Sequence[Fold]) -> str:
    """What will be trained, and how long the classifiers take on this machine."""
    config, first = setting.config, folds[0]
    generators = len(folds) * config.generator_seeds
    if config.dit_checkpoint is None:
        work = f"train {generators} generator{'s' * (generators > 1)}, whose time stage 2 tells"
    else:
        work = f"show {len(folds)} fold{'s' * (len(folds) > 1)} to {config.dit_checkpoint}"
    classifiers = sum(1 for fold in folds for _ in trainings_of(fold, setting))
    minutes = classifiers * config.classifier_steps * seconds_of_step(len(setting.people.names)) / 60
    named = listing([fold.name for fold in folds], 10)
    return (
        f"{work} (folds {named}; the first of {len(first.training)} images, {first.number} are drawn of each "
        f"of {listing(first.drawn, 10)}), and train {classifiers} classifiers of {config.classifier_steps} "
        f"steps (arms: {listing(arms_of(first, setting))}; {config.seeds} seeds), about {minutes:.0f} min on "
        f"this machine as it is now; try them on {len(first.tested)} images"
    )
