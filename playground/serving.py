"""Pages of Gradio served so that a browser asks this machine alone."""

from __future__ import annotations

import os

import gradio

from configs.command_line import say

FONTS = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}


def serve(page: gradio.Blocks, host: str, port: int, css: str = "", wait: bool = True) -> str:
    """Serve `page` until it is interrupted, or without `wait` until its `close`; its address.

    No link to it is shared, nothing is counted, and fonts are the browser's own.
    """
    os.environ["GRADIO_RUN_HISTORY"] = "False"  # newer versions keep what was drawn in the browser
    theme = gradio.themes.Base(**FONTS)
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        inbrowser=False,
        ssr_mode=False,
        footer_links=[],
        theme=theme,
        css=css,
        prevent_thread_lock=True,
    )
    address = f"http://{host}:{port}"
    say(f"serving {address}; Ctrl+C ends it")
    if wait:
        page.block_thread()
    return address
