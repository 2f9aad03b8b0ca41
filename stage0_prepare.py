"""Stage 0: look at the machine, fetch weights, prepare data.

python stage0_prepare.py doctor                                           # what this machine can run
python stage0_prepare.py setup --folders /kaggle/input                    # weights and data to a --config
python stage0_prepare.py download vavae --dir weights                     # published weights
python stage0_prepare.py split --input_dir raw --output_dir data_split    # people's folders to train/, val/
python stage0_prepare.py simulate --output_dir sim                        # walkers whose truth is known
python stage0_prepare.py spectrogram --input recordings --carrier 77e9 --prf 3288 --output_dir raw  # I/Q
python stage0_prepare.py import glasgow --input Dataset_848 --output_dir raw   # a public data set
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs.command_line import parse, run_script, say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.schema import (
    DoctorConfig,
    DownloadConfig,
    ImportConfig,
    SetupConfig,
    SimulateConfig,
    SpectrogramConfig,
    SplitConfig,
)

# What a command requires is imported within it, when the command line has been read: the others need it not,
# nor its seconds of loading.


def split(config: SplitConfig) -> None:
    """Divide people's images into train, val and perhaps test; see `data.splits` for the rules."""
    from preparation import splitting

    splitting.split(config)


def simulate(config: SimulateConfig) -> None:
    """Simulate walkers into ID_1, ID_2, ...; file names carry the recording (rec1_004.png). truth.csv has a
    row per image with everything that is known of it, axes.csv their axes.
    """
    from preparation import simulation

    simulation.simulate(config)


def spectrogram(config: SpectrogramConfig) -> None:
    """Turn recordings of complex I/Q into images, ID_7/rec1.npy into ID_7/rec1_001.png, ...; axes.csv keeps
    their axes, labels.csv whose they are.
    """
    from data.folders import Rules
    from preparation.drawing import draw_recordings
    from preparation.recordings import find_recordings
    from preparation.spectrograms import check_pair

    check_pair("spectrogram", config)
    images = len(config.db_range) == 2
    if config.db_range and not (images and config.db_range[0] < config.db_range[1]):
        raise UserError(
            f"spectrogram.db_range={config.db_range}: expected dB of black and of white, like -40 0"
        )
    rules = Rules(config.name, config.labels, config.leave_out)
    draw_recordings(find_recordings(config.input, rules, images), config, "spectrogram", config, whole=images)


def import_set(config: ImportConfig) -> None:
    """Turn a public data set, as its authors publish it, into images with axes.csv and labels.csv: glasgow,
    idrad, mmrgait, mvdoppler or sense2gol (docs/public_sets.md).
    """
    from preparation import public_sets

    public_sets.import_set(config)


def doctor(config: DoctorConfig) -> None:
    """Say what this machine can run. Exit status 0: OK; 1: warnings; 2: something cannot run."""
    from preparation.doctor import examine, exit_status

    findings = []
    for finding in examine(config):
        say(str(finding))
        findings.append(finding)
    if config.dry_run:
        mended = [f"{config.latent_dir}: a broken latents_stats.pt"] if config.fix else []
        tell_plan(
            {"doctor": config},
            reads=[config.output_dir, config.weights_dir],
            writes=mended,
            does="examine the machine, as above",
        )
    if exit_status(findings):
        sys.exit(exit_status(findings))


def setup(config: SetupConfig) -> None:
    """Find weights and images, check them, and write kaggle_inference_config.yaml, which every stage takes by
    --config; what was not found is said with its way out. Exit status 0: stage 3 can draw; 1: not yet.
    """
    from data.atomic import write_text_if_new
    from data.run_record import lock_folder
    from preparation.doctor import exit_status
    from preparation.setup import NAME, set_up

    setup, folder = set_up(config), Path(config.output_dir)
    for finding in setup.findings:
        say(str(finding))
    path, text = folder / NAME, setup.text()
    with lock_folder(folder, config.dry_run):
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path}: is there with other content; remove it, or choose another --output_dir")
        if not config.dry_run:
            write_text_if_new(path, text)
    if config.dry_run:
        return tell_plan({"setup": config}, reads=config.folders, writes=[path], does=f"write:\n{text}")
    say(f"wrote {path}; next: python stage3_inference.py --config {path} --user_ids all")
    if exit_status(setup.findings):
        sys.exit(exit_status(setup.findings))


def download(config: DownloadConfig) -> None:
    """Fetch published weights; again: go on, or check what is there. HF_ENDPOINT names a mirror."""
    from data.run_record import lock_folder
    from preparation.download import PUBLISHED, fetch
    from weight_files.hub import endpoint

    wanted = list(PUBLISHED) if "all" in config.weights else config.weights
    for name in wanted:
        if name not in PUBLISHED:
            raise UserError(f"download {name}: expected {' | '.join([*PUBLISHED, 'all'])}")
    with lock_folder(Path(config.dir), config.dry_run, "--dir"):
        if config.dry_run:
            files = [f"{PUBLISHED[name].file}, about {PUBLISHED[name].size / 1e9:.2f} GB" for name in wanted]
            return tell_plan(
                {"download": config},
                reads=[endpoint()],
                writes=[config.dir],
                does=f"fetch {'; '.join(files)}, but for what is there",
            )
        for name in dict.fromkeys(wanted):
            say(fetch(PUBLISHED[name], Path(config.dir)))


COMMANDS: dict[str, Callable[[Any], None]] = {
    "doctor": doctor,
    "setup": setup,
    "download": download,
    "split": split,
    "simulate": simulate,
    "spectrogram": spectrogram,
    "import": import_set,
}


def main(argv: list[str]) -> None:
    if argv[:1] in (["-h"], ["--help"]):
        return print(__doc__)
    if not argv or argv[0] not in COMMANDS:
        given = argv[0] if argv else "nothing"
        raise UserError(f"stage0_prepare.py: expected a command ({' | '.join(COMMANDS)}), got {given}")
    name = argv[0]
    prog, description = f"stage0_prepare.py {name}", COMMANDS[name].__doc__ or ""
    COMMANDS[name](parse(name, (name,), argv[1:], prog=prog, description=description)[name])


if __name__ == "__main__":
    run_script(main)
