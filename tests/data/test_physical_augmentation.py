"""What another speed, aspect, gain or noise floor makes of an image is known exactly."""

import numpy
import pytest
import torch

from data import physical_augmentation
from data.physical_augmentation import Physical, another_walk, louder, moved
from radar.colormap import to_rgb

EDGES = -1.0, 3.0  # m/s; 40 rows of 0.1
VELOCITY = 3.0 - 0.1 * (torch.arange(40) + 0.5)
MIDDLE = 0.5


def change(x, speed=1.0, aspect=1.0, start=0.0):
    given = (torch.full((len(x),), float(value)) for value in (speed, aspect, start))
    return moved(x, *given, MIDDLE)


def test_nothing_changed_is_the_same_image():
    x = torch.rand(2, 4, 40, 24)
    assert torch.allclose(change(x), x, atol=1e-5)
    assert Physical(EDGES, "jet", None).middle == MIDDLE


@pytest.mark.parametrize("columns", [1, 7, 23])
def test_a_later_start_rolls_the_image(columns):
    x = torch.rand(1, 3, 40, 24)
    assert torch.allclose(change(x, start=columns / 24), x.roll(-columns, 3), atol=1e-5)


@pytest.mark.parametrize(("speed", "aspect"), [(1.25, 1.0), (1.0, 0.8), (1.1, 0.9)])
def test_velocities_grow_with_speed_and_shrink_with_the_cosine(speed, aspect):
    """Of an image whose value is its velocity, each row shows the velocity that came there."""
    x = VELOCITY[None, None, :, None].expand(1, 1, 40, 24)
    expected = VELOCITY / (speed * aspect)
    inside = (expected > VELOCITY.min()) & (expected < VELOCITY.max())
    velocities = change(x, speed, aspect)[0, 0, :, 5]
    assert torch.allclose(velocities[inside], expected[inside], atol=1e-5) and inside.sum() > 30
    assert velocities.max() <= VELOCITY.max() and velocities.min() >= VELOCITY.min()


def test_twice_the_speed_is_twice_the_cadence():
    """Velocity untouched by an aspect that undoes it: every second column, twice."""
    ramp = torch.arange(24.0) + 0.5
    row = change(ramp.expand(1, 1, 40, 24), speed=2, aspect=0.5)[0, 0, 0]
    assert torch.allclose(row[:11], 2 * ramp[:11], atol=1e-4)
    assert torch.allclose(row[12:23], 2 * ramp[:11], atol=1e-4)


def test_gain_and_noise_are_decibels():
    level = torch.tensor([0.5, 0.0])
    silent, none = torch.tensor(-300.0), torch.tensor(0.0)
    # nothing but the receiver's noise at 0; 50 dB above it a gain is all but exact
    assert louder(level, torch.tensor(10.0), silent, 30.0)[1].item() == pytest.approx(0, abs=1e-6)
    above = louder(torch.tensor([0.5]), torch.tensor(10.0), silent, 100.0).item()
    assert above == pytest.approx(0.6, abs=1e-5)
    as_loud = louder(level, none, torch.tensor(-15.0), 30.0)[
        0
    ].item()  # noise as strong as all there is: 3 dB
    assert as_loud == pytest.approx(0.5 + 3.0103 / 30)
    assert louder(torch.tensor([1.0]), torch.tensor(3.0), silent, 30.0).item() == 1


def test_without_change_colours_stay_and_with_it_they_are_those_of_the_map(monkeypatch):
    levels = numpy.random.default_rng(0).integers(40, 200, (2, 40, 24))
    images = to_rgb(levels / 255)
    physical = Physical(EDGES, "jet", 300.0)  # so much that the darkest colour adds nothing
    x = torch.from_numpy(physical.with_brightness(images)).permute(0, 3, 1, 2) / 127.5 - 1
    for name, value in (("SPEEDS", (1.0, 1.0)), ("ASPECTS", (1.0, 1.0)), ("FLOOR_DB", (-600.0, -600.0))):
        monkeypatch.setattr(physical_augmentation, name, value)
    monkeypatch.setattr(torch, "rand", lambda count: torch.zeros(count))
    monkeypatch.setattr(physical_augmentation, "GAIN_DB", 0.0)
    assert torch.allclose(physical(x), x[:, :3], atol=1e-4)
    monkeypatch.setattr(physical_augmentation, "GAIN_DB", 300 * 10 / 255)  # lower by ten entries of the map
    expected = torch.from_numpy(to_rgb((levels - 10) / 255)).permute(0, 3, 1, 2) / 127.5 - 1
    assert ((physical(x) - expected).abs() < 0.02).float().mean() > 0.98


def test_every_image_is_changed_in_its_own_way():
    torch.manual_seed(0)
    images = numpy.repeat(to_rgb(numpy.random.default_rng(0).random((1, 40, 24))), 2, axis=0)
    x = torch.from_numpy(Physical(EDGES, "jet", None).with_brightness(images)).permute(0, 3, 1, 2) / 127.5 - 1
    first, second = Physical(EDGES, "jet", None)(x)
    assert first.shape == (3, 40, 24) and not torch.allclose(first, second)
    assert first.abs().max() <= 1


def test_a_gain_moves_colours_by_its_share_of_the_range_and_30_db_are_taken_for_one_that_nobody_knows():
    images = to_rgb(numpy.full((1, 40, 24), 0.7))
    x = torch.from_numpy(Physical(EDGES, "jet", None).with_brightness(images))
    x = x.permute(0, 3, 1, 2) / 127.5 - 1

    def changed(range_db):
        torch.manual_seed(0)
        return Physical(EDGES, "jet", range_db)(x)

    assert torch.equal(changed(None), changed(30.0))
    assert (changed(30.0) - x[:, :3]).abs().mean() > 1.5 * (changed(60.0) - x[:, :3]).abs().mean() > 0


@pytest.mark.parametrize("seed", range(1, 7))
def test_another_walk_has_no_seam_amid_the_image(seed):
    """Of an image whose colours are its velocity, its time, and nothing."""
    times = ((torch.arange(24) + 0.5) / 24).expand(40, -1)
    image = torch.stack([(VELOCITY + 1)[:, None].expand(-1, 24) / 4, times, torch.zeros(40, 24)])
    pixels = (image * 255).round().to(torch.uint8)
    walk, again = (another_walk(pixels, EDGES, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert walk.dtype == torch.uint8 and torch.equal(walk, again)
    speed, aspect, start = torch.rand(3, generator=torch.Generator().manual_seed(seed)).tolist()
    speed, aspect = 0.9 + 0.2 * speed, 0.87 + 0.13 * aspect
    start = (start if speed < 1 else 0.5) * (1 - speed)
    inside = (times[0] > 0.1) & (times[0] < 0.9)
    shown = walk[1, 0].float() / 255
    assert torch.allclose(shown[inside], (start + speed * times[0])[inside], atol=0.01)
    velocity = walk[0, :, 12].float() / 255 * 4 - 1
    asked = (VELOCITY / (speed * aspect)).clamp(VELOCITY.min(), VELOCITY.max())
    assert torch.allclose(velocity, asked, atol=0.03)
