"""Judges of timm's by name: they learn, are kept and are asked as the small one is."""

import numpy
import pytest
import torch
from drawn_walks import swings
from PIL import Image

from data.labels import LabelTable
from evaluation.features import describe
from evaluation.judge import SMALL, SmallJudge, load_judge, train_judge
from evaluation.measure import obtain_judges
from evaluation.named_judge import SIDE, NamedJudge, network_named
from evaluation.reconstruction import perceptual_distance

CPU, PEOPLE = torch.device("cpu"), LabelTable(("ID_1", "ID_2"))


def test_without_a_name_it_is_the_small_one():
    assert network_named(None, CPU) == (SmallJudge, None) and SmallJudge(2).network == SMALL


@pytest.fixture(scope="module")
def sets():
    """Whole images, of 64 pixels, of two people."""
    parts = {}
    for seed, (name, count) in enumerate((("train", 12), ("val", 4))):
        images, labels = swings(2, count, seed)
        parts[name] = describe(map(Image.fromarray, images), labels, (), "gray", side=64)
    return parts


@pytest.fixture(scope="module")
def judge(sets):
    build, val = network_named("test_resnet", CPU).build, sets["val"]
    learnt, tried = sets["train"], (val.seen, val.labels)
    return train_judge(learnt.seen, learnt.labels, 2, 0, val=tried, epochs=16, batch_size=4, build=build)


def test_it_learns_and_its_last_layer_sees_its_features(judge, sets):
    images = sets["train"].seen
    assert images.shape == (24, 64, 64, 3) and judge.network == "test_resnet"
    assert (judge.predict(images).argmax(1) == sets["train"].labels).mean() > 0.9
    with torch.no_grad():
        logits = judge.model.get_classifier()(torch.from_numpy(judge.features(images)))
    assert torch.allclose(logits.double(), judge.logits(images), atol=1e-4)


def test_it_is_kept_and_another_network_does_not_fit(judge, sets, tmp_path):
    judge.save(tmp_path / "judge.safetensors", PEOPLE)
    build, val = network_named("test_resnet", CPU).build, sets["val"]
    (again,) = obtain_judges(tmp_path, sets["train"], val, PEOPLE, 0, build=build)
    assert again.predict(val.seen) == pytest.approx(judge.predict(val.seen), abs=1e-4)
    with pytest.raises(ValueError, match="does not fit the judge .*; delete it to train another"):
        load_judge(tmp_path / "judge.safetensors")


def test_the_same_seed_gives_the_same_judge(sets):
    build, val = network_named("test_resnet", CPU).build, sets["val"]
    made = [train_judge(val.seen, val.labels, 2, 3, epochs=1, build=build).state_dict() for _ in range(2)]
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize(("name", "side"), [("test_resnet", SIDE), ("test_vit", 160)])
def test_models_have_maps_at_the_size_that_they_take(name, side):
    network = network_named(name, CPU)
    assert network.side == side
    images = numpy.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=numpy.uint8)
    judge = network.build(2)
    assert isinstance(judge, NamedJudge)
    assert perceptual_distance(judge.eval(), images, images[::-1].copy()).min() > 1e-6
    assert perceptual_distance(judge, images, images) == pytest.approx(numpy.zeros(2), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "said"), [("resnet", "--judge resnet: timm knows no such model; expected one such as resnet18")]
)
def test_what_is_no_judge_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        network_named(name, CPU)
