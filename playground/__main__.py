"""Serve a page to play with a trained model: people, guidance, steps and seed give an image at once.

    python -m playground --model demo

It is seen from this machine alone unless --host says otherwise, and asks no other machine.
"""

from __future__ import annotations

import importlib.util
import os
import socket

from configs.command_line import parse, run_script, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.schema import PlaygroundConfig
from playground.drawing import Drawing
from weight_files.hub import with_local_files


def run(config: PlaygroundConfig) -> None:
    """Load what `config` names and serve the page until it is interrupted.

    Errors of `playground.drawing.Drawing.load`; UserError: Gradio is not installed, or the port is taken.
    """
    config = with_local_files(config)
    require_gradio()
    require_address(config.host, config.port)
    drawing = Drawing.load(config)
    if config.dry_run:
        return tell_plan(
            {"playground": config},
            reads=filter(None, [config.model, config.vavae_path, config.judge, config.real]),
            writes=[],
            does=f"serve a page at http://{config.host}:{config.port}",
        )
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    from playground.page import CSS, build
    from playground.serving import serve

    say(drawing.account())
    serve(build(drawing), config.host, config.port, CSS)


def require_gradio() -> None:
    """UserError where Gradio, which only this command needs, is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError(
            "python -m playground requires Gradio, which is not installed: "
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
