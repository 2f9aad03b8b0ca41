"""Serve a page to play with a trained model: people, guidance, steps and seed give an image at once.

    python -m playground --model demo

With --study FOLDER --real data_split it asks what people see in real and generated images instead. It is seen
from this machine alone unless --host says otherwise, and asks no other machine.
"""

from __future__ import annotations

import os
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from configs.command_line import parse, run_script, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.schema import PlaygroundConfig

LEAST = 6, 20  # of Gradio; pages of versions before ask another host for a script


def run(config: PlaygroundConfig) -> None:
    """The page to play with, or with --study a user study, served until it is interrupted.

    Errors of `Drawing.load` and of `open_study`; UserError: Gradio is not installed, or the port is taken.
    """
    from weight_files.hub import with_local_files

    config = with_local_files(config)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    (study if config.study else play)(config)


def play(config: PlaygroundConfig) -> None:
    """Load what `config` names and serve the page to play with."""
    from playground.drawing import Drawing

    require_gradio()
    require_address(config.host, config.port)
    drawing = Drawing.load(config)
    if config.dry_run:
        reads = filter(None, [config.model, config.vavae_path, config.judge, config.real])
        return tell_plan({"playground": config}, reads=reads, writes=[], does=serving(config))
    from playground.page import CSS, build
    from playground.serving import serve

    say(drawing.account())
    serve(build(drawing), config.host, config.port, CSS)


def study(config: PlaygroundConfig) -> None:
    """Ask what has no answer yet; say the figures of a study that is done."""
    from data.run_record import claim_folder
    from playground.user_study import ANSWERS, Answers, open_study

    material, trials, settings = open_study(config)
    folder = Path(config.output_dir)
    with claim_folder(folder, settings, ANSWERS, config.dry_run):
        answers = Answers(folder / ANSWERS, trials)
        done = answers.next is None
        if not done:
            require_gradio()
            require_address(config.host, config.port)
        if config.dry_run:
            does = "say the figures" if done else f"{serving(config)}: {answers.account()}"
            reads, writes = [config.real, config.study], [] if done else [answers.path]
            return tell_plan({"playground": config}, reads=reads, writes=writes, does=does)
        say(answers.account())
        if done:
            return
        from playground.serving import serve
        from playground.study_page import CSS, build

        serve(build(answers, material), config.host, config.port, CSS)


def serving(config: PlaygroundConfig) -> str:
    return f"serve a page at http://{config.host}:{config.port}"


def require_gradio() -> None:
    """UserError where Gradio, which only this command needs, is absent or older than LEAST."""
    try:
        installed = version("gradio")
    except PackageNotFoundError:
        installed = "none"
    if installed == "none" or tuple(map(int, installed.split(".")[:2])) < LEAST:
        raise UserError(
            f"python -m playground requires Gradio {LEAST[0]}.{LEAST[1]} or newer, found {installed}: "
            "pip install -r requirements-playground.txt"
        )


def require_address(host: str, port: int) -> None:
    """UserError where the address is taken, or none of this machine's."""
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"--host {host} --port {port}: {reason}; give another --port, or --host") from error


def main(argv: list[str]) -> None:
    prog = "python -m playground"
    run(parse("playground", ("playground",), argv, prog=prog, description=__doc__ or "")["playground"])


if __name__ == "__main__":
    run_script(main)
