"""People by vectors of images: the encoder, what takes the class table's place, and files that hold them."""

import pytest
import torch

from models.embedders import LabelEmbedder
from models.lightningdit import LightningDiT
from models.references import WIDTH, ReferenceEmbedder, ReferenceEncoder, mean_vector, moments
from models.weights import infer_architecture

SMALL = {"input_size": 4, "in_channels": 4, "hidden_size": 32, "depth": 1, "num_heads": 4, "num_classes": 5}


@pytest.fixture
def embedder():
    torch.manual_seed(0)
    made = ReferenceEmbedder(3, 16, 0.5, 4, 4)
    made.vectors[:3] = torch.nn.functional.normalize(torch.randn(3, WIDTH), dim=1)
    return made.eval()


def test_the_encoder_gives_unit_vectors_and_learns_in_every_parameter():
    encoder = ReferenceEncoder(4, 6)
    vectors = encoder(torch.randn(5, 4, 6, 6))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))
    (vectors * torch.randn(5, WIDTH)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in encoder.parameters())


def test_moments_are_of_time_and_hold_nothing_of_when():
    x = torch.tensor([[1.0, 3.0, 1.0, 3.0], [0.0, 1.0, 2.0, 3.0]]).view(1, 1, 2, 4)
    expected = [2.0, 1.5, 1.0, 1.25**0.5, (32 / 9) ** 0.5, 0.0]
    torch.testing.assert_close(moments(x), torch.tensor([expected]))
    torch.testing.assert_close(moments(x.flip(-1)), moments(x))


def test_what_people_share_beyond_chance_is_taken_off():
    """Two people at (30, 10) and at (10, -10) and (10, 30): the mean of their means is (20, 10)."""
    encoder = ReferenceEncoder(1, 2)
    with torch.no_grad():
        encoder.project.weight.zero_()[:2, :2] = torch.eye(2)
        encoder.project.bias.zero_()
    places, labels = torch.tensor([[30.0, 10.0], [10.0, -10.0], [10.0, 30.0]]), torch.tensor([0, 1, 1])
    x = places[:, None, :, None].expand(-1, 1, 2, 2)

    # variance and scatter of one and two images, of two people
    encoder.variance.fill_(352.0)
    vectors, share = encoder.vectors_of(x, labels)
    assert share == pytest.approx(1 - (352 + (WIDTH + WIDTH / 2) / 2) / 2 / 500)
    left = torch.nn.functional.normalize(places - share * torch.tensor([20.0, 10.0]), dim=1)
    torch.testing.assert_close(vectors[:, :2], torch.stack([left[0], mean_vector(left[1:])]))

    # people of the training's kind, and one person, stay as they are
    encoder.variance.fill_(1000.0)
    vectors, share = encoder.vectors_of(x, labels)
    assert share == 0
    torch.testing.assert_close(vectors[1], mean_vector(encoder(x[1:])))
    encoder.variance.fill_(0.0)
    vectors, share = encoder.vectors_of(x[1:], torch.tensor([0, 0]))
    assert share == 0
    torch.testing.assert_close(vectors[0], mean_vector(encoder(x[1:])))


def test_what_moves_everybody_alike_far_is_taken_off():
    encoder = ReferenceEncoder(2, 4).double()
    x, labels = torch.randn(12, 2, 4, 4, dtype=torch.float64), torch.arange(12) // 3
    first, share = encoder.vectors_of(x + 1e7, labels)
    moved, again = encoder.vectors_of(x - 2e7, labels)
    assert min(share, again) > 0.999
    torch.testing.assert_close(moved, first, atol=1e-3, rtol=0)


def test_labels_stand_for_vectors_and_the_last_one_for_nobody(embedder):
    labels = torch.tensor([2, 0, 3])
    assert torch.equal(embedder(labels), embedder(embedder.vectors[labels]))
    torch.testing.assert_close(embedder(labels)[2], embedder.mlp(torch.zeros(WIDTH)))
    assert embedder.null_class == 3


def test_what_is_dropped_becomes_nobody(embedder):
    vectors, drop = embedder.vectors[:3], torch.tensor([True, False, True])
    nobody = embedder(torch.tensor([3]))
    for asked in (drop, drop[:, None]):
        embedded = embedder(vectors, asked)
        torch.testing.assert_close(embedded[drop], nobody.expand(2, -1))
        assert torch.equal(embedded[1], embedder(vectors)[1])
    torch.manual_seed(1)
    far = (embedder.train()(vectors[:1].expand(2000, -1)) - nobody).abs().amax(1)
    assert abs((far < 1e-6).float().mean() - 0.5) < 0.05


def test_the_encoder_is_not_trained_with_the_network():
    net = LightningDiT(**SMALL, references=True)
    trained = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert {name for name, _ in net.named_parameters()} - trained == {
        f"y_embedder.encoder.{name}" for name, _ in net.y_embedder.encoder.named_parameters()
    }
    assert net.null_class == 5 and isinstance(LightningDiT(**SMALL).y_embedder, LabelEmbedder)


def test_weights_tell_that_they_hold_vectors():
    net = LightningDiT(**SMALL, references=True)
    architecture = infer_architecture(net.state_dict(), 4)
    assert {name: architecture[name] for name in ("references", "num_classes")} == {
        "references": True,
        "num_classes": 5,
    }
    assert LightningDiT(**net.config).config == net.config


def test_people_in_conditions_have_rows():
    with pytest.raises(ValueError, match="references: people in conditions are learnt by rows"):
        LightningDiT(**SMALL, references=True, combinations=[[0, 0]] * 5)


def test_the_mean_of_vectors_is_a_direction():
    vectors = torch.eye(3)[:2]
    torch.testing.assert_close(mean_vector(vectors), torch.tensor([0.5**0.5, 0.5**0.5, 0.0]))
