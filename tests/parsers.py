"""Every parser of ours, fed with bytes; what it refuses must be a refusal in one line, never a crash.

As a script it fuzzes one or all of them by coverage: python tests/parsers.py [name] -max_total_time=300
(needs atheris). `test_parsers.py` feeds them by hypothesis, and with what was found.
"""

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT)]

if __name__ == "__main__":
    import atheris

    load = atheris.instrument_imports(
        include=["configs", "data", "preparation.public_sets", "radar", "training", "evaluation.folders"]
    )
else:
    load = contextlib.nullcontext()

with load:
    import numpy
    from omegaconf import MISSING
    from safetensors.numpy import save

    from configs.errors import UserError
    from configs.keys import default_of
    from configs.load import load_preset, resolve, split_override
    from configs.schema import SECTIONS
    from data.image_array import contents_of, read_images, read_statistics
    from data.images import open_rgb
    from data.labels import LabelTable
    from data.latent_stats import LatentStatistics, read_recommendation
    from data.latents import read_latents
    from data.run_record import claim_folder
    from evaluation.generated import find_generated
    from evaluation.velocity_intervention import read_truth
    from preparation.public_sets.mvdoppler import find
    from radar.captures import Facts, Hints, read
    from radar.colormap import from_rgb
    from sampling.model_file import DitPayload

LATENTS = {"latents": numpy.ones((1, 1, 2, 2), "f4"), "labels": numpy.zeros(1, "i8")}
ENTRIES = {"format_version": 1, "label_table": ["ID_1"], "paths": ["a.png"], "num_samples": 1, "num_users": 1}
ENTRIES |= {"shard_index": 0, "num_shards": 1, "fingerprint": "f"}
HEADER = {key: json.dumps(value) for key, value in ENTRIES.items()}
SCRATCH = Path(tempfile.mkdtemp(prefix="parsers_"))
REQUIRED = {
    section: {item.name: "1" for item in fields(kind) if default_of(item) == MISSING}
    for section, kind in SECTIONS.items()
}
PEOPLE = LabelTable(("ID_1", "ID_2", "ID_10"))


def written(name: str, data: bytes) -> Path:
    path = SCRATCH / name
    path.write_bytes(data)
    return path


def labels(data: bytes) -> None:
    table = LabelTable.from_json(data.decode("utf-8", "replace"))
    assert LabelTable.from_json(table.to_json()) == table
    assert [table.index(name) for name in table.names] == list(range(len(table)))


def users(data: bytes) -> None:
    assert set(PEOPLE.resolve(data.decode("utf-8", "replace").split("\n"))) <= {0, 1, 2}


def header(data: bytes) -> None:
    """The metadata of latents: lines of key=value over those of a good file."""
    metadata = dict(HEADER)
    for line in data.decode("utf-8", "replace").split("\n"):
        key, equals, value = line.partition("=")
        metadata |= {key: value} if equals else {}
    written("train.safetensors", save(LATENTS, metadata))
    assert len(read_latents(SCRATCH, "train")) == 1


def latents(data: bytes) -> None:
    written("train.safetensors", data)
    assert read_latents(SCRATCH, "train").latents.ndim == 4


def statistics(data: bytes) -> None:
    assert (LatentStatistics.load(written("latents_stats.pt", data)).std > 0).all()


def advice(data: bytes) -> None:
    assert read_recommendation(written("advice.txt", data)) in ("micro_doppler", "imagenet")


def payload(data: bytes) -> None:
    parsed = DitPayload.from_json(data.decode("utf-8", "replace"), "a file")
    assert DitPayload.from_json(parsed.to_json(), "a file").labels == parsed.labels


def record(data: bytes) -> None:
    written("run.json", data)
    with claim_folder(SCRATCH, {"lr": 1.0}, "*.png"):
        pass


def samples(data: bytes) -> None:
    find_by("samples.csv", data)


def metadata(data: bytes) -> None:
    find_by("metadata.jsonl", data)


def find_by(table: str, data: bytes) -> None:
    """Whose a.png is, by a table of generated images."""
    folder = SCRATCH / table.partition(".")[0]
    folder.mkdir(exist_ok=True)
    written(f"{folder.name}/a.png", b"")
    written(f"{folder.name}/{table}", data)
    images = find_generated(folder, PEOPLE).records
    assert images and all(folder in record.path.parents for record in images)


def preset(data: bytes) -> None:
    content = load_preset(written("preset.yaml", data))
    resolve(tuple(content), REQUIRED, content)


def override(data: bytes) -> None:
    section, key, value = split_override(data.decode("utf-8", "replace"), "train")
    resolve((section,), REQUIRED, {section: {key: value}})


def image(data: bytes) -> None:
    assert open_rgb(written("image.png", data)).mode == "RGB"


def recording(data: bytes) -> None:
    assert read(written("rec.npy", data), Hints(Facts(24e9, 2000.0))).iq.ndim == 4


def ancortek(data: bytes) -> None:
    assert read(written("rec.dat", data)).iq.ndim == 4


def design_table(data: bytes) -> None:
    """Of MVDoppler, beside two of its files."""
    for name in ("normal_00000.h5", "texting_00001.h5"):
        (SCRATCH / "set").mkdir(exist_ok=True)
        (SCRATCH / "set" / name).touch()
    written("set/design_table.csv", data)
    assert len(find(SCRATCH / "set", ()).records) in (2, 4)


def truth(data: bytes) -> None:
    assert all(0 < speed < float("inf") for speed in read_truth(written("truth.csv", data)).values())


def image_array(data: bytes) -> None:
    path = written("samples.npz", data)
    count, statistics = contents_of(path)
    assert count is None or len([*read_images(path)]) == count
    assert not statistics or read_statistics(path, 2)[1].shape == (2, 2)


def colours(data: bytes) -> None:
    rgb = numpy.frombuffer(data[: len(data) // 3 * 3], "u1").reshape(-1, 3)
    values = from_rgb(rgb, ("jet", "viridis", "gray")[len(data) % 3])
    assert values.shape == rgb.shape[:1] and ((values >= 0) & (values <= 1)).all()


PARSERS: dict[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        labels,
        users,
        header,
        latents,
        statistics,
        advice,
        payload,
        record,
        samples,
        metadata,
        preset,
        override,
        image,
        recording,
        ancortek,
        design_table,
        truth,
        image_array,
        colours,
    )
}


def feed(parser: Callable[[bytes], None], data: bytes) -> bool:
    """True where the parser takes the bytes, False where it refuses them; all else is an error."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            parser(data)
    except (UserError, OSError) as error:
        assert str(error) and len(str(error)) < 2000, str(error)
        return False
    return True


def fuzz(data: bytes) -> None:
    """The first byte chooses among the parsers that were named."""
    if data:
        feed(CHOSEN[data[0] % len(CHOSEN)], data[1:])


if __name__ == "__main__":
    named = [name for name in sys.argv[1:] if name in PARSERS]
    CHOSEN = [PARSERS[name] for name in named or PARSERS]
    atheris.Setup([argument for argument in sys.argv if argument not in named], fuzz)
    atheris.Fuzz()
