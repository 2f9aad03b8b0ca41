"""Toy figures in the form of metrics.json: drawn at random, they say nothing about any model."""

import random

from evaluation.agreement import SAID_BY_JUDGES

NASTY = 'ID_<b>&"7_%'
KINDS = ("real", "generated")
SCALES = {"kid": 1e-3, "frechet": 30.0, "recall": 0.5, "coverage": 0.5}


class Draws:
    """Every number is drawn anew, so that a figure that a page leaves out is missed in its text."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def figure(self, name: str, scale: float = 1.0, people: tuple[str, ...] = ()) -> dict:
        """`name` is share, mean or value."""
        middle = self.random.uniform(0.2, 0.8) * scale
        half = self.random.uniform(0.01, 0.15) * scale
        per_person = {"per_person": {person: self.figure(name, scale) for person in people}} if people else {}
        count = self.random.randint(100, 999)
        return {name: middle, "interval": [middle - half, middle + half], "count": count, **per_person}

    def estimate(self, scale: float = 1.0) -> dict:
        return self.figure("value", scale)

    def points(self) -> dict:
        """A difference of shares."""
        middle = self.random.uniform(-0.1, 0.1)
        return {"value": middle, "interval": [middle - 0.0213, middle + 0.0217]}

    def pair(self, scale: float) -> dict:
        return {"generated": self.estimate(2 * scale), "floor": self.estimate(scale)}

    def digest(self) -> str:
        return f"{self.random.getrandbits(256):064x}"

    def numbers(self, people: tuple[str, ...], scale: float) -> dict:
        return {person: self.random.random() * scale for person in people}


def measures(draw: Draws) -> dict:
    """What a sweep tells of a setting."""
    shares = {name: draw.figure("share") for name in ("judged_right", "memorised", "impossible")}
    return shares | {name: draw.estimate() for name in ("kid", "coverage")}


def planted(draw: Draws) -> dict:
    """What was found of one kind of planted copies."""

    def part(share: float, count: int) -> dict:
        shares = {name: {"share": draw.random.random()} for name in ("some", "many")}
        return {"planted": {"share": share, "count": count}, **shares, "z": -draw.random.random()}

    figures = {name: draw.figure("share") for name in ("found", "by_ratio")}
    return {**figures, "sets": [part(0.013, 7), part(0.057, 28)]}


def example(draw: Draws, person: str, other: str) -> dict:
    """Images of a person that a judge found the best and the worst."""

    def image(number: int, **more: str) -> dict:
        name = f"drawn_{draw.random.random():.6f}_{number}.png"
        return {"image": name, "probability": draw.random.random(), **more}

    return {
        "other": other,
        "taken_for_other": draw.random.randint(100, 999),
        "count": draw.random.randint(1000, 9999),
        "confused": image(0, named=other),
        "real": f"{person}/rec1_001.png",
        "other_real": f"{other}/rec1_002.png",
        "best": [image(number) for number in range(5)],
        "worst": [image(number, named=other) for number in range(4)],
    }


def walked(draw: Draws, people: tuple[str, ...]) -> dict:
    """Figures of one kind of images."""
    scales = {"confidence": 1, "torso_velocity": 2, "cadence": 3, "bandwidth": 5, "periodicity": 1}
    ends = {True: (30, 60), False: (0, 9)}  # those named right are many
    places = range(len(people))
    return {
        "judged_right": draw.figure("share", people=people),
        "memorised": draw.figure("share", 0.2, people),
        "impossible": draw.figure("share", 0.2, people),
        **{name: draw.figure("mean", scale, people) for name, scale in scales.items()},
        "negative_log_likelihood": draw.random.random(),
        "confusion": [[draw.random.randint(*ends[row == column]) for column in places] for row in places],
    }


ARMS = ("real", "real + classic", "real + generated x0.5", "real + generated x1", "generated only")


class Study:
    """What augmentation studies tell."""

    def __init__(self, draw: Draws, people: tuple[str, ...]) -> None:
        self.draw, self.people = draw, people

    def judged(self, place: int) -> dict:
        reach = {"detectable": self.draw.random.uniform(0.01, 0.1), "equal_within": [None, 0.03, None][place]}
        sentence = ("helps", "makes no measurable difference", "harms")[place]
        return {**self.draw.points(), **reach, "sentence": sentence}

    def difference(self, place: int) -> dict:
        return {
            **self.judged(place),
            "by_seed": [self.draw.random.uniform(-0.1, 0.1) for _ in range(8)],
            "sign_flip": self.draw.random.random(),
            "per_person": {person: self.judged(self.draw.random.randrange(3)) for person in self.people},
        }

    def group(self) -> dict:
        arms = {arm: self.draw.figure("share") for arm in ARMS}
        return {"arms": arms, "differences": {arm: self.judged(0) for arm in ARMS[2:]}}

    def verdict(self) -> dict:
        beside = {"reference": "real + classic"}
        return {
            **{"seeds": 8, "steps": 640, "pieces": 17, "primary": "real + generated x1", "sentence": "helps"},
            "arms": {arm: self.draw.figure("mean", people=self.people) for arm in ARMS},
            "differences": {arm: beside | self.difference(place) for place, arm in enumerate(ARMS[2:])},
            "beyond_best_real": {"reference": "real", **self.difference(0)},
            "groups": {"day": {kind: self.group() for kind in ("same", "other")}},
        }

    def few_shot(self) -> dict:
        arms = {arm: [self.draw.estimate() for _ in range(4)] for arm in ARMS[:4]}
        differences = [self.difference(place % 3) for place in range(4)]
        return {"sizes": [5, 10, 20, "all"], "arms": arms, "differences": differences}


def copied(draw: Draws, people: tuple[str, ...]) -> dict:
    """Closest pairs, planted copies and the three-sample test."""

    def pair(place: int) -> dict:
        names = {"generated": f"user01_{place:03}.png", "train": f"rec1_{place:03}.png"}
        return names | {name: draw.random.random() for name in ("ratio", "unexplained")}

    def person() -> dict:
        counts = {kind: draw.random.randint(100, 999) for kind in ("generated", "held_out")}
        return {"z": draw.random.uniform(-2, 2), **counts}

    return {
        "closest_pairs": [pair(place) for place in range(10)],
        "planted": {
            "unplanted": {kind: draw.figure("share") for kind in ("generated", "held_out")},
            "kinds": {kind: planted(draw) for kind in ("exact", "of a twin")},
        },
        "data_copying": {
            **{name: -draw.random.random() for name in ("z", "c_t")},
            "reconstructed": draw.random.random(),
            "per_person": {one: person() for one in people},
        },
    }


def grouped(draw: Draws, people: tuple[str, ...]) -> dict:
    """Held-out images of the days of training, and of others."""
    values = {"same": ["Monday"], "other": ["Tuesday", "Friday"]}
    kinds = {
        kind: {"values": days, "judged_right": draw.figure("share", people=people)}
        for kind, days in values.items()
    }
    return {"parts": ["val", "test"], "unknown": 3, **kinds, "difference": draw.points()}


def followed(draw: Draws, people: tuple[str, ...]) -> dict:
    """Whether velocities follow the speed of a condition."""
    kinds = {
        kind: {**draw.points(), "people": draw.random.randint(100, 999), "combinations": 4711 + place}
        for place, kind in enumerate(("generated", "unrecorded", "real"))
    }
    speeds = ("speed", "generated", "real")
    folders = {
        person: {**draw.numbers(speeds, 2), "combination": ("recorded", "unrecorded")[place % 2]}
        for place, person in enumerate(people)
    }
    return {"against": "true speeds", **kinds, "unknown_speed": ["ID_of_no_speed"], "folders": folders}


def swept(draw: Draws) -> dict:
    settings = [
        {"guidance": guidance, "sampler": sampler, **measures(draw)}
        for sampler in ("heun", "abm3")
        for guidance in (1.0, 1.5, 2.0, 4.0)
    ]
    rule = "The lowest KID whose memorised share is usual."
    return {"settings": settings, "recommended": 2, "real": measures(draw), "rule": rule}


def toy_metrics(people: tuple[str, ...] = ("ID_1", "ID_2", NASTY), seed: int = 0) -> dict:
    draw = Draws(seed)
    study = Study(draw, people)
    drawn = {kind: walked(draw, people) for kind in (*KINDS, "reconstructed")}
    answered = (("person", "good"), ("new", "doubtful"), ("useful", "not known"))
    agreements = {
        kind: {name: draw.figure("share", people=people) for name in SAID_BY_JUDGES} for kind in drawn
    }
    return {
        "inputs": {"train": draw.digest(), "generated": draw.digest(), "axes": [-1.225, 5.175, 2.11]},
        "versions": {"python": "3.11.9", "torch": "2.15.0", "project": None},
        "seed": 7,
        **copied(draw, people),
        "seconds": {"judge": 61.5, "distances": 17.25},
        "answers": {
            question: {"word": word, "sentence": f"Toy & {question} {draw.random.random():.6f}."}
            for question, word in answered
        },
        "examples": {one: example(draw, one, other) for one, other in zip(people, people[1:] + people[:1])},
        "summary": ["Toy figures <of nobody>, drawn at random.", "They say nothing & prove nothing."],
        "people": list(people),
        "chance": 1 / len(people),
        "held_out": "test",
        "counts": {"train": 843, "val": 121, "test": 244, "generated": 502},
        "units": {"torso_velocity": "m/s", "cadence": "steps/s", "bandwidth": "m/s"},
        "judge": {
            **{"network": "toy_network", "seeds": 3, "temperature": 1.13, "ece": 0.0316},
            "held_out_accuracy_by_seed": [0.913, 0.926, 0.932],
        },
        "agreement": {"linear_judge": {"ridge": 0.0317, "temperature": 1.27, "ece": 0.0417}, **agreements},
        **drawn,
        "groups": {"day": grouped(draw, people)},
        "distances": {
            space: {name: draw.pair(scale) for name, scale in SCALES.items()}
            for space in ("judge", "latents", "radar")
        },
        "diversity": {
            space: {
                "vendi": {
                    **{kind: draw.numbers(people, 40) for kind in KINDS},
                    "counts": dict.fromkeys(people, 37),
                }
            }
            for space in ("judge", "latents")
        },
        "kinematics_distance": {
            name: {
                **{"unit": unit, **draw.pair(0.1)},
                **{part: draw.numbers(people, 0.3) for part in ("per_person", "per_person_floor")},
            }
            for name, unit in (("torso_velocity", "m/s"), ("cadence", "Hz"))
        },
        "velocity_intervention": followed(draw, people),
        "verdict": study.verdict(),
        "few_shot": study.few_shot(),
        "tokenizer": {
            **{"psnr_db": draw.estimate(40), "ssim": draw.estimate(), "torso_error_mps": draw.estimate(0.1)},
            "judged_right": drawn["reconstructed"]["judged_right"],
        },
        "sweep": swept(draw),
        "something_new": {"nobody": {"foresaw": 0.4711}},
    }
