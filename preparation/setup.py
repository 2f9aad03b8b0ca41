"""Weights and data that lie about, checked, and a configuration of them that every stage takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from configs.errors import UserError, first_line
from configs.load import load_preset
from configs.schema import SetupConfig
from data.images import open_rgb
from data.latent_stats import LatentStatistics
from models.weights import load_dit
from preparation.doctor import Finding
from preparation.search import Found, search
from sampling.model_file import DitPayload, load_trained
from tokenizer.vavae import load_tokenizer
from tokenizer.weights import COMPACT, COMPACT_FILE, digest

NAME = "kaggle_inference_config.yaml"
PUBLISHED_SYSTEM = Path(__file__).resolve().parents[1] / "configs" / "imagenet256_xl_vavae.yaml"


@dataclass
class Setup:
    """What was found out, and the sections of the configuration."""

    findings: list[Finding] = field(default_factory=list)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def say(self, level: str, topic: str, text: str) -> None:
        self.findings.append(Finding(level, topic, text))

    def put(self, **keys: Any) -> None:
        """Keys named section_key, those without a value left out."""
        for name, value in keys.items():
            section, _, key = name.partition("_")
            if value is not None:
                self.sections.setdefault(section, {})[key] = str(value)

    def sound(self, topic: str, paths: Sequence[Path], load: Callable[[Path], Any]) -> dict[Path, Any]:
        """What `load` makes of each file; a warning of those that it refuses."""
        loaded = {}
        for path in paths:
            try:
                loaded[path] = load(path)
                self.say("ok", topic, f"{path}: {path.stat().st_size:,} bytes, loads")
            except (UserError, OSError) as error:
                self.say("warn", topic, f"{first_line(error)}; not used")
        return loaded

    def text(self) -> str:
        """The configuration, which `--config` reads."""
        head = "# Written by stage0_prepare.py setup. Every stage takes it by --config.\n"
        return head + OmegaConf.to_yaml(OmegaConf.create(self.sections))


def set_up(config: SetupConfig) -> Setup:
    """Look, check and choose. UserError: a folder that was named is not there, or nothing was found."""
    roots = roots_of(config)
    inventory, setup = search(roots, config.max_depth, config.max_entries), Setup()
    listed = " ".join(map(str, roots)) or "none of the usual folders"
    setup.say("note", "looked", f"at {inventory.entries} names below {listed}")
    for text in inventory.left_out:
        setup.say("note", "left out", f"{text}; name a folder of it by --folders to have it looked at")
    for path in inventory.unknown:
        setup.say("note", "unknown", f"{path}: neither a tokenizer nor a model, by its content or name")
    choose_data(inventory, setup)
    choose_networks(inventory, setup)
    if not setup.sections:
        raise UserError(
            f"setup: neither weights nor people's images below {listed}; name their folders by "
            "--folders, or start with python stage0_prepare.py download vavae --dir weights"
        )
    return setup


def roots_of(config: SetupConfig) -> list[Path]:
    """The folders to look below; of the usual places those that are there."""
    folders = [Path(folder) for folder in config.folders]
    absent = [str(folder) for folder in folders if not folder.is_dir()]
    if absent and "folders" in config.given:
        raise UserError(f"--folders {' '.join(absent)}: no such folder; expected folders of weights or data")
    return list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))


def choose_data(inventory: Found, setup: Setup) -> None:
    """Images: the first split, which stage 1 takes, or else the first folder of people, still to be split."""
    for folder, people in inventory.people.items():
        try:
            open_rgb(people.example)
            setup.say("ok", "images", f"{folder}: {people.number} people, {people.images} images or more")
        except UserError as error:
            setup.say("warn", "images", f"{folder}: {error}")
    if inventory.splits:
        data = inventory.splits[0]
        setup.put(extract_data_dir=data, pipeline_data_dir=data, evaluate_real=data)
    elif inventory.raw:
        setup.put(split_input_dir=inventory.raw[0])
        setup.say(
            "note",
            "images",
            "not split yet: python stage0_prepare.py split --input_dir "
            f"{inventory.raw[0]} --output_dir data_split",
        )
    else:
        setup.say(
            "note",
            "images",
            "none: expected a folder of each person's, like ID_1/a.jpg; name the "
            "folder above them by --folders",
        )


def choose_networks(inventory: Found, setup: Setup) -> None:
    """Tokenizer, model and ImageNet's statistics, checked as the stages would; those that fit together."""
    given = [path for path in inventory.statistics if not (path.parent / "train.safetensors").exists()]
    statistics = setup.sound("statistics", given, LatentStatistics.load)
    tokenizers = setup.sound("tokenizer", inventory.tokenizers, lambda path: digest(load_tokenizer(path)))
    published = [path for path in inventory.models if path.suffix == ".pt"]
    trained = [path for path in inventory.models if path not in published]
    models = setup.sound("model", trained, lambda path: load_trained(path)[1])
    models |= setup.sound("model", published, lambda path: bool(load_dit(path)))  # not kept in memory
    model = next(iter(models), None)
    tokenizer = fitting_tokenizer(models.get(model) if model else None, tokenizers, setup)
    beside = next((path for path in statistics if path.parent == getattr(tokenizer, "parent", None)), None)
    imagenet = beside or next(iter(statistics), None)
    if tokenizers or models:
        setup.put(extract_vavae_path=tokenizer, pipeline_vavae_path=tokenizer, sample_vavae_path=tokenizer)
    if tokenizer != COMPACT:
        setup.put(extract_imagenet_stats=imagenet, pipeline_imagenet_stats=imagenet)
    if model in published:
        use_published(model, tokenizer, imagenet, setup)
    elif model:
        setup.put(sample_dit_checkpoint=model)
    else:
        setup.say(
            "warn",
            "model",
            "none: train one by stage 2, or python stage0_prepare.py download "
            "lightningdit-xl-800ep latents-stats; --dit_checkpoint demo --vavae_path "
            "compact draws simulated walkers at once",
        )


def fitting_tokenizer(model: Any, tokenizers: dict[Path, str], setup: Setup) -> Path | str | None:
    """The tokenizer whose latents the model learnt, by digest; the first one where the model does not say,
    the one that ships where there is none.
    """
    wanted = model.tokenizer_digest if isinstance(model, DitPayload) else None
    known: dict[Path | str, str] = {path: value for path, value in tokenizers.items()}
    if COMPACT_FILE.is_file():
        known[COMPACT] = digest(load_tokenizer(COMPACT))
    fitting = [name for name in known if wanted in (None, known[name])]
    if wanted and not fitting:
        setup.say(
            "warn",
            "tokenizer",
            f"none with the digest {wanted[:12]} that the model was trained with; "
            "name its folder by --folders",
        )
        return None
    if not tokenizers:
        setup.say(
            "note",
            "tokenizer",
            "none found: compact, which ships, is used; the published one comes "
            "by python stage0_prepare.py download vavae",
        )
    return fitting[0] if fitting else None


def use_published(model: Path, tokenizer: Path | str | None, imagenet: Path | None, setup: Setup) -> None:
    """The published model, with its sampling settings and the statistics that it does not carry."""
    if imagenet is None:
        return setup.say(
            "warn",
            "statistics",
            f"none for {model.name}, which carries none: python stage0_prepare.py download latents-stats",
        )
    settings = load_preset(PUBLISHED_SYSTEM)["sample"]
    files = {"dit_checkpoint": str(model), "vavae_path": str(tokenizer), "latents_stats": str(imagenet)}
    setup.sections["sample"] = {**settings, **files}
