"""Toy figures in the form of metrics.json: drawn at random, they say nothing about any model."""

import random

from evaluation.agreement import SAID_BY_JUDGES

NASTY = 'ID_<b>&"7_%'
KINDS = ("real", "generated")


class Draws:
    """Every number is drawn anew, so that a figure that a page leaves out is missed in its text."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def figure(self, name: str, scale: float = 1.0, people: tuple[str, ...] = ()) -> dict:
        """`name` is share, mean or value."""
        middle = self.random.uniform(0.2, 0.8) * scale
        half = self.random.uniform(0.01, 0.15) * scale
        own = {"per_person": {person: self.figure(name, scale) for person in people}} if people else {}
        count = self.random.randint(100, 999)
        return {name: middle, "interval": [middle - half, middle + half], "count": count, **own}

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
    kinds = {
        "judged_right": "share",
        "kid": "value",
        "coverage": "value",
        "memorised": "share",
        "impossible": "share",
    }
    return {name: draw.figure(kind) for name, kind in kinds.items()}


def planted(draw: Draws) -> dict:
    """What was found of one kind of planted copies."""
    sets = [
        {
            "planted": {"share": part, "count": count},
            "some": {"share": draw.random.random()},
            "many": {"share": draw.random.random()},
            "z": -draw.random.random(),
        }
        for part, count in ((0.013, 7), (0.057, 28))
    ]
    return {"found": draw.figure("share"), "by_ratio": draw.figure("share"), "sets": sets}


def example(draw: Draws, person: str, other: str) -> dict:
    """Images of a person that a judge found the best and the worst."""

    def image(number: int) -> dict:
        return {
            "image": f"drawn_{draw.random.random():.6f}_{number}.png",
            "probability": draw.random.random(),
        }

    return {
        "other": other,
        "taken_for_other": draw.random.randint(100, 999),
        "count": draw.random.randint(1000, 9999),
        "confused": {**image(0), "named": other},
        "real": f"{person}/rec1_001.png",
        "other_real": f"{other}/rec1_002.png",
        "best": [image(number) for number in range(5)],
        "worst": [{**image(number), "named": other} for number in range(4)],
    }


def toy_metrics(people: tuple[str, ...] = ("ID_1", "ID_2", NASTY), seed: int = 0) -> dict:
    draw = Draws(seed)
    settings = [
        {"guidance": guidance, "sampler": sampler, **measures(draw)}
        for sampler in ("heun", "abm3")
        for guidance in (1.0, 1.5, 2.0, 4.0)
    ]
    arms = ("real", "real + classic", "real + generated x0.5", "real + generated x1", "generated only")
    sentences = ("helps", "makes no measurable difference", "harms")

    def judged(place: int) -> dict:
        reach = {"detectable": draw.random.uniform(0.01, 0.1), "equal_within": 0.03 if place == 1 else None}
        return {**draw.points(), **reach, "sentence": sentences[place % 3]}

    def difference(place: int) -> dict:
        return {
            **judged(place),
            "by_seed": [draw.random.uniform(-0.1, 0.1) for _ in range(8)],
            "sign_flip": draw.random.random(),
            "per_person": {person: judged(draw.random.randrange(3)) for person in people},
        }

    drawn = {kind: walked(draw, people) for kind in (*KINDS, "reconstructed")}
    return {
        "inputs": {"train": draw.digest(), "generated": draw.digest(), "axes": [-1.225, 5.175, 2.11]},
        "versions": {"python": "3.11.9", "torch": "2.15.0", "project": None},
        "seed": 7,
        "closest_pairs": [
            {
                "generated": f"user01_{place:03}.png",
                "train": f"rec1_{place:03}.png",
                "ratio": draw.random.random(),
                "unexplained": draw.random.random(),
            }
            for place in range(10)
        ],
        "planted": {
            "unplanted": {kind: draw.figure("share") for kind in ("generated", "held_out")},
            "kinds": {kind: planted(draw) for kind in ("exact", "of a twin")},
        },
        "data_copying": {
            "z": -draw.random.random(),
            "c_t": -draw.random.random(),
            "reconstructed": draw.random.random(),
            "per_person": {
                person: {
                    "z": draw.random.uniform(-2, 2),
                    "generated": draw.random.randint(100, 999),
                    "held_out": draw.random.randint(100, 999),
                }
                for person in people
            },
        },
        "seconds": {"judge": 61.5, "distances": 17.25},
        "answers": {
            question: {"word": word, "sentence": f"Toy & {question} {draw.random.random():.6f}."}
            for question, word in (("person", "good"), ("new", "doubtful"), ("useful", "not known"))
        },
        "examples": {one: example(draw, one, other) for one, other in zip(people, people[1:] + people[:1])},
        "summary": ["Toy figures <of nobody>, drawn at random.", "They say nothing & prove nothing."],
        "people": list(people),
        "chance": 1 / len(people),
        "held_out": "test",
        "counts": {"train": 843, "val": 121, "test": 244, "generated": 502},
        "units": {"torso_velocity": "m/s", "cadence": "steps/s", "bandwidth": "m/s"},
        "judge": {
            "network": "toy_network",
            "seeds": 3,
            "temperature": 1.13,
            "ece": 0.0316,
            "held_out_accuracy_by_seed": [0.913, 0.926, 0.932],
        },
        "agreement": {
            "linear_judge": {"ridge": 0.0317, "temperature": 1.27, "ece": 0.0417},
            **{
                kind: {name: draw.figure("share", people=people) for name in SAID_BY_JUDGES} for kind in drawn
            },
        },
        **drawn,
        "groups": {
            "day": {
                "parts": ["val", "test"],
                "unknown": 3,
                "same": {"values": ["Monday"], "judged_right": draw.figure("share", people=people)},
                "other": {
                    "values": ["Tuesday", "Friday"],
                    "judged_right": draw.figure("share", people=people),
                },
                "difference": draw.points(),
            }
        },
        "distances": {
            space: {
                "kid": draw.pair(1e-3),
                "frechet": draw.pair(30.0),
                "recall": draw.pair(0.5),
                "coverage": draw.pair(0.5),
            }
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
                "unit": unit,
                **draw.pair(0.1),
                "per_person": draw.numbers(people, 0.3),
                "per_person_floor": draw.numbers(people, 0.3),
            }
            for name, unit in (("torso_velocity", "m/s"), ("cadence", "Hz"))
        },
        "velocity_intervention": {
            "against": "true speeds",
            **{
                kind: {**draw.points(), "people": draw.random.randint(100, 999), "combinations": 4711 + place}
                for place, kind in enumerate(("generated", "unrecorded", "real"))
            },
            "unknown_speed": ["ID_of_no_speed"],
            "folders": {
                person: {
                    **draw.numbers(("speed", "generated", "real"), 2),
                    "combination": ("recorded", "unrecorded")[place % 2],
                }
                for place, person in enumerate(people)
            },
        },
        "verdict": {
            "seeds": 8,
            "steps": 640,
            "pieces": 17,
            "arms": {arm: draw.figure("mean", people=people) for arm in arms},
            "differences": {
                arm: {"reference": "real + classic", **difference(place)}
                for place, arm in enumerate(arms[2:])
            },
            "primary": "real + generated x1",
            "sentence": "helps",
            "beyond_best_real": {"reference": "real", **difference(0)},
            "groups": {
                "day": {
                    kind: {
                        "arms": {arm: draw.figure("share") for arm in arms},
                        "differences": {arm: judged(0) for arm in arms[2:]},
                    }
                    for kind in ("same", "other")
                }
            },
        },
        "few_shot": {
            "sizes": [5, 10, 20, "all"],
            "arms": {arm: [draw.estimate() for _ in range(4)] for arm in arms[:4]},
            "differences": [difference(place) for place in range(4)],
        },
        "tokenizer": {
            "psnr_db": draw.estimate(40),
            "ssim": draw.estimate(),
            "torso_error_mps": draw.estimate(0.1),
            "judged_right": drawn["reconstructed"]["judged_right"],
        },
        "sweep": {
            "settings": settings,
            "recommended": 2,
            "real": measures(draw),
            "rule": "The lowest KID whose memorised share is usual.",
        },
        "something_new": {"nobody": {"foresaw": 0.4711}},
    }


def walked(draw: Draws, people: tuple[str, ...]) -> dict:
    scales = {"confidence": 1, "torso_velocity": 2, "cadence": 3, "bandwidth": 5, "periodicity": 1}
    count = len(people)
    return {
        "judged_right": draw.figure("share", people=people),
        "memorised": draw.figure("share", 0.2, people),
        "impossible": draw.figure("share", 0.2, people),
        **{name: draw.figure("mean", scale, people) for name, scale in scales.items()},
        "negative_log_likelihood": draw.random.random(),
        "confusion": [
            [
                draw.random.randint(30, 60) if row == column else draw.random.randint(0, 9)
                for column in range(count)
            ]
            for row in range(count)
        ],
    }
