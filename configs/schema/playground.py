"""Keys of the page on which a model is played with, and of its user study."""

from dataclasses import dataclass
from typing import List, Optional

from configs.keys import key
from configs.schema.shared import Command, axes_key, leave_out_key, weights_key


@dataclass
class PlaygroundConfig(Command):
    """python -m playground."""

    model: str = weights_key(
        "demo", "Trained network, as of stage 3; demo = the one that ships.", affects="nothing"
    )
    vavae_path: str = weights_key(
        "compact", "The model's tokenizer, as of stage 3; compact = the one that ships.", affects="nothing"
    )
    judge: Optional[str] = weights_key(
        None, "Selecting judge of stage4_evaluate.py judge, whose probabilities are shown.", affects="nothing"
    )
    real: Optional[str] = key(
        None,
        "Folder with train/ of real images, whose nearest one is shown, and val/ or test/ for a study; "
        "none = without.",
        affects="output",
        content=True,
    )
    leave_out: List[str] = leave_out_key(affects="run")
    study: Optional[str] = key(
        None,
        "Generated images, as of stage 4, to be shown blind among real ones; none = the page to play with.",
        affects="output",
        content=True,
    )
    trials: int = key(
        20,
        "Real images, and as many generated ones, of each of the two questions of a study.",
        low=1,
        high=10000,
        affects="output",
    )
    seed: int = key(0, "Seed of a study's images and their order.", low=0, affects="output")
    output_dir: str = key("user_study", "Folder for a study's answers.csv.", affects="nothing")
    axes: List[float] = axes_key(affects="nothing")
    host: str = key(
        "127.0.0.1",
        "Address to serve at; the default is seen from this machine alone, 0.0.0.0 from everywhere.",
        affects="nothing",
    )
    port: int = key(7860, "Port to serve at.", low=1, high=65535, affects="nothing")
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="nothing")
