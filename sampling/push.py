"""Publish a trained model on the Hugging Face Hub, with a card that says what it is, and what it is not for.

    python -m sampling.push checkpoints/best.safetensors me/walkers --licence cc-by-nc-4.0 \\
        --data "Twelve colleagues at 77 GHz, who agreed to it." --metrics evaluation_report/metrics.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.command_line import OneLineParser, run_script, say
from configs.errors import UserError
from configs.json_text import parse_json

if TYPE_CHECKING:
    from sampling.model_file import DitPayload

MODEL, CARD = "best.safetensors", "README.md"
WAY_OUT = "log in by `hf auth login`, or set HF_TOKEN to a token that may write there"
GATES = ("manual", "auto", "none")


def run(options: argparse.Namespace) -> list[str]:
    """Upload the model and its card, or only say so; the lines to print.

    UserError: no slim file of stage 2, no figures of stage 4, or the Hub refuses.
    """
    # Not at the top, here and below: --help needs neither torch nor its seconds of loading
    from data.labels import listing
    from sampling.model_file import load_trained
    from weight_files.hub import endpoint, explained

    # What is published
    if options.model.suffix != ".safetensors":
        raise UserError(
            f"{options.model}: expected best.safetensors of stage 2, which holds no optimizer state"
        )
    net, payload = load_trained(str(options.model))
    metrics = read_metrics(options.metrics) if options.metrics else None
    parameters = sum(value.numel() for value in net.parameters())
    card = card_of(options, payload, parameters, metrics)
    people = f"the file names its people: {listing(payload.labels.names, 8)}"
    if options.dry_run:
        return [
            card,
            people,
            f"would upload {MODEL} and {CARD} to {options.repository}",
            "dry run: nothing was sent",
        ]

    # Closed before anything is in it
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=endpoint())
    files: dict[str, Any] = {CARD: card.encode(), MODEL: str(options.model)}
    with explained(options.repository, instead=WAY_OUT):
        api.create_repo(options.repository, private=options.private, exist_ok=True)
        gated: Any = False if options.gated == "none" else options.gated
        # Said again: a repository that is there already keeps who sees it.
        closed: dict[str, Any] = {"private": True} if options.private else {}
        api.update_repo_settings(options.repository, gated=gated, **closed)
        adding = [CommitOperationAdd(name, content) for name, content in files.items()]
        done = api.create_commit(options.repository, adding, commit_message="Model and card")
    networks = f"--dit_checkpoint hf://{options.repository} --vavae_path {tokenizer_of(payload)}"
    uploaded = f"uploaded {', '.join(files)}: {done.commit_url}"
    return [people, uploaded, f"draw with it: python stage3_inference.py {networks}"]


def read_metrics(path: Path) -> dict[str, Any]:
    """metrics.json of stage 4 of one generator."""
    try:
        metrics = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"--metrics {path}: no such file; stage 4 writes metrics.json") from error
    except ValueError as error:
        raise UserError(
            f"--metrics {path}: not a JSON file ({error}); give metrics.json of stage 4"
        ) from error
    if not isinstance(metrics, dict) or not {"summary", "people"} <= metrics.keys():
        raise UserError(f"--metrics {path}: expected metrics.json of stage 4, of one generator")
    if "generators" in metrics:
        name = next(iter(metrics["generators"]))
        raise UserError(
            f"--metrics {path}: of several generators; give the one's, {path.parent / name / path.name}"
        )
    return metrics


def tokenizer_of(payload: DitPayload) -> str:
    """What --vavae_path is for the model: compact, or what its digest names."""
    from tokenizer.vavae import load_tokenizer
    from tokenizer.weights import COMPACT_FILE, digest

    expected = payload.tokenizer_digest
    if expected and expected == digest(load_tokenizer(COMPACT_FILE)):
        return "compact"
    return f"<tokenizer {expected[:12]}>" if expected else "<its tokenizer>"


def card_of(
    options: argparse.Namespace, payload: DitPayload, parameters: int, metrics: dict[str, Any] | None
) -> str:
    """The model card as Markdown, with the metadata that the Hub reads."""
    from jinja2 import Template

    from data.conditions import count_people

    template = Template(
        (Path(__file__).parent / "model_card.md").read_text(encoding="utf-8"), trim_blocks=True
    )
    return template.render(
        licence=options.licence,
        name=options.repository.split("/")[-1],
        people=count_people(len(payload.labels), payload.model.get("combinations")),
        parameters=parameters,
        axes=payload.axes,
        tokenizer=tokenizer_of(payload),
        data=options.data,
        figures=metrics["summary"] if metrics else ["Not measured."],
    )


def main(argv: list[str]) -> None:
    parser = OneLineParser(
        prog="python -m sampling.push", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path, help="best.safetensors of stage 2")
    parser.add_argument("repository", help="owner/name on the Hub; made where it is not there")
    parser.add_argument(
        "--licence", required=True, help="as the Hub names them: cc-by-nc-4.0, mit, other, ..."
    )
    parser.add_argument(
        "--data", required=True, help="who was recorded, by what, and that they agreed, for the card"
    )
    parser.add_argument(
        "--metrics", type=Path, help="metrics.json of stage 4, whose sentences go on the card"
    )
    parser.add_argument(
        "--gated",
        choices=GATES,
        default="manual",
        help="who may download: asked and let in by you (default), let in when asked, everybody",
    )
    parser.add_argument("--private", action="store_true", help="seen by you alone")
    parser.add_argument("--dry_run", action="store_true", help="show the card, and send nothing")
    say("\n".join(run(parser.parse_args(argv))))


if __name__ == "__main__":
    run_script(main)
