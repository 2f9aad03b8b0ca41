"""What the figures say, in plain sentences and in a word to each question, and what they cannot say.

The word is GOOD, DOUBTFUL or POOR only where the intervals carry it, else UNKNOWN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy

from evaluation.agreement import said_by_judges
from evaluation.data_copying import COPYING
from evaluation.estimates import share_difference, shown
from evaluation.memorisation import MANY, NONE, SOME, verdict
from evaluation.paired_differences import HARMS, HELPS, LEAST_SEEDS, in_points, limit_of, reach_of
from evaluation.velocity_intervention import sentence as speed_sentence

Metrics = dict[str, Any]
FEW, LEAST_CEILING = 10, 0.8  # images of a person; share that the judge must have right of real images
CHECKED = 0.05  # share of held-out images that repeat training ones, above which they measure nothing
VARIED, UNIFORM = 2 / 3, 1 / 3  # shares of the real variety below which images lack it, or have none
VARIED_FROM = 5  # images of a person on both sides, below which variety is told by luck
MARGIN = 0.1  # what generated images may be worse than real ones, as a share, and still be good
GOOD, DOUBTFUL, POOR, UNKNOWN = "good", "doubtful", "poor", "not known"
FEW_TELL = ", as far as the counts can tell"


class Answer(NamedTuple):
    """GOOD, DOUBTFUL, POOR or UNKNOWN, and a sentence with the figures."""

    word: str
    sentence: str


def answers(metrics: Metrics) -> dict[str, dict[str, str]]:
    """The word and the sentence to each of five questions: person, new, physical, varied, useful."""
    parts = {"person": _person, "new": _new, "physical": _physical, "varied": _diverse, "useful": usefulness}
    return {question: part(metrics)._asdict() for question, part in parts.items()}


def sentences(metrics: Metrics) -> list[str]:
    """Is it the person, new, physical, diverse, useful, what else; and last what cannot be said."""
    of = {question: answer["sentence"] for question, answer in answers(metrics).items()}
    said = [of["person"], _days(metrics), of["new"], of["physical"], speed_sentence(metrics), of["varied"]]
    said += [_near(metrics), of["useful"], _tokenizer(metrics), _limits(metrics)]
    return [sentence for sentence in said if sentence]


def no_worse(drawn: Metrics, real: Metrics, better: int) -> bool:
    """Whether the interval of the difference of two shares excludes that `drawn` is worse by MARGIN; `better`
    is 1 where high shares are good, -1 where low ones are.
    """
    low, high = share_difference(drawn, real)["interval"]
    return min(better * low, better * high) >= -MARGIN


def standing(figure: Metrics, other: Metrics) -> int:
    """-1, 0, 1: the 95 % interval of the first lies below the other's, overlaps it, lies above."""
    (low, high), (other_low, other_high) = figure["interval"], other["interval"]
    return (low > other_high) - (high < other_low)


def _known(both: Metrics) -> bool:
    return both["generated"]["interval"] is not None and both["floor"]["interval"] is not None


def _person(metrics: Metrics) -> Answer:
    """Generated images show the days of training, so that real ones of these are the harder measure."""
    chance = metrics["chance"]
    real, drawn = metrics["real"]["judged_right"], metrics["generated"]["judged_right"]
    of_training = {
        name: one["same"]["judged_right"]
        for name, one in metrics.get("groups", {}).items()
        if "difference" in one and standing(drawn, one["same"]["judged_right"]) < 0
    }
    opinion = _recognised(drawn, real, chance, of_training)
    shares = f"{shown(drawn, True)} generated, {shown(real, True)} real held-out, {chance:.0%} by chance"
    if "agreement" in metrics:
        return _by_two_judges(opinion, metrics, bool(of_training), shares)
    return Answer(opinion.word, f"{opinion.head}: the judge {opinion.said}; {shares}.")


class Opinion(NamedTuple):
    """The word that a judge's shares carry, and what it says of the images."""

    word: str
    head: str
    said: str


def _recognised(drawn: Metrics, real: Metrics, chance: float, of_training: Metrics) -> Opinion:
    """From shares of generated and of real images, and of real ones of groups that are named right more often
    than the generated ones.
    """
    half_way = (chance + real["share"]) / 2
    lower, less_often = standing(drawn, real) < 0, "recognises generated images less often than real ones"
    if drawn["interval"][0] <= chance:
        word = POOR if lower else UNKNOWN
        said = "does no better than chance on generated images" + FEW_TELL * (word == UNKNOWN)
        return Opinion(word, "Not the person", said)
    if lower and drawn["interval"][1] < half_way:
        return Opinion(POOR, "Hardly the person", "recognises few generated images")
    if lower:
        return Opinion(DOUBTFUL, "The person in part", less_often)
    if of_training:
        days = " or ".join(f"{name} as training ({shown(one, True)})" for name, one in of_training.items())
        return Opinion(DOUBTFUL, "The person in part", f"{less_often} of the same {days}")
    enough, able = no_worse(drawn, real, 1), real["share"] >= LEAST_CEILING
    said = "recognises generated images as it does real ones"
    said += FEW_TELL if not enough else ", as far as this judge can tell" * (not able)
    return Opinion(GOOD if enough and able else UNKNOWN, "The person", said)


def _by_two_judges(network: Opinion, metrics: Metrics, by_days: bool, shares: str) -> Answer:
    """What both kinds of judge say, told apart from what one says. Where they differ DOUBTFUL is the word; a
    linear judge that is not sure changes none, nor one that knows no days where these have decided.
    """
    drawn, real = metrics["agreement"]["generated"], metrics["agreement"]["real"]
    linear, word = _recognised(drawn["linear"], real["linear"], metrics["chance"], {}), network.word
    by = {name: text.removeprefix("named right ") for name, text in said_by_judges(metrics).items()}
    head, said = network.head, f"{by['network'].removeprefix('by ')} {network.said}"
    if linear.said == network.said:
        said = f"each of two kinds of judge {network.said}"
    elif not (by_days and linear.word in (GOOD, UNKNOWN)):
        said += f", the linear one {linear.said}"
        if linear.word != word and UNKNOWN not in (word, linear.word):
            better = min(network, linear, key=lambda one: (GOOD, DOUBTFUL, POOR).index(one.word))
            word, head = DOUBTFUL, f"{better.head} by one kind of judge only"
    both = (
        f"both judges name {drawn['both']['share']:.0%} of generated and {real['both']['share']:.0%} of real"
    )
    return Answer(word, f"{head}: {said}; {shares}; {both} images right.")


def _days(metrics: Metrics) -> str | None:
    """The judge on a day that training has and on another one; so for sessions, rooms, recordings."""
    both = {name: one for name, one in metrics.get("groups", {}).items() if "difference" in one}
    if not both:
        return None
    lost = [name for name, one in both.items() if one["difference"]["interval"][0] > 0]
    verdict = f"The judge knows people on another {' or '.join(both)} as well, as far as the counts can tell"
    if lost:
        verdict = f"The judge knows people less well on another {' or '.join(lost)}"
    shares = "; ".join(
        f"{shown(one['same']['judged_right'], True)} of the same {name} as training, "
        f"{shown(one['other']['judged_right'], True)} of another"
        for name, one in both.items()
    )
    return f"{verdict}; of held-out real images it names right {shares}."


def _new(metrics: Metrics) -> Answer:
    shares, copied, some, unsure, enough = [], NONE, 0, False, True
    lean = metrics.get("data_copying", {}).get("c_t")
    for key, where in (("memorised", "pixels"), ("memorised_latents", "latents")):
        if key in metrics["generated"]:
            drawn, real = metrics["generated"][key], metrics["real"][key]
            copied, some = max(copied, verdict(drawn, real)), max(some, drawn["hits"])
            unsure |= real["interval"][0] > CHECKED
            enough &= no_worse(drawn, real, -1)
            shares.append(f"in {where} {shown(drawn, True)}, real held-out {shown(real, True)}")
    word = DOUBTFUL
    if copied == MANY:
        word, said = POOR, "Copies: more generated images repeat training images than held-out ones do"
    elif unsure:
        word = UNKNOWN
        said = (
            "No verdict on new or copied: held-out real images repeat training images themselves, "
            "so that they cannot be the measure; look for images that are there twice"
        )
    elif copied == SOME:
        said = f"Copies among them: generated images repeat training images ({some}), as no held-out one does"
    elif lean is not None and lean <= COPYING:
        said = "New one by one, but as a set nearer to the training images than held-out ones are"
    else:
        word = GOOD if enough else UNKNOWN
        said = "New: no more generated images repeat training images than held-out ones do"
        said += FEW_TELL * (not enough)
    shares += [] if lean is None else [f"three-sample test C_T {lean:+.1f}"]
    return Answer(word, f"{said}; {'; '.join(shares)}.")


def _physical(metrics: Metrics) -> Answer:
    real, drawn = metrics["real"]["impossible"], metrics["generated"]["impossible"]
    apart = [
        f"{name.replace('_', ' ')} (off by {distance['generated']['value']:.2g} {distance['unit']}".rstrip()
        + f", real by {distance['floor']['value']:.2g})"
        for name, distance in metrics.get("kinematics_distance", {}).items()
        if _known(distance) and standing(distance["generated"], distance["floor"]) > 0
    ]
    verdict, enough = "Physical: the images show motion as real walkers do", no_worse(drawn, real, -1)
    verdict, word = verdict + FEW_TELL * (not enough), GOOD if enough else UNKNOWN
    if apart:
        word = DOUBTFUL
        verdict = "Physical one by one, but as a whole the motion differs from real walkers'"
    if standing(drawn, real) > 0:
        often, word = ("Mostly not", POOR) if drawn["interval"][0] > 0.5 else ("Not always", DOUBTFUL)
        verdict = f"{often} physical: more images than real ones show motion that no real walker does"
    differing = f"; differing: {', '.join(apart)}" if apart else ""
    shares = f"outside the real range {shown(drawn, True)} generated, {shown(real, True)} held-out"
    return Answer(word, f"{verdict}; {shares}{differing}.")


def _diverse(metrics: Metrics) -> Answer:
    shares, fewest = {}, 0
    for space, measures in metrics.get("diversity", {}).items():
        fewest = min(measures["vendi"]["counts"].values())
        real, drawn = measures["vendi"]["real"], measures["vendi"]["generated"]
        # one image again and again scores 1: what is beyond it counts
        ratios = [(drawn[name] - 1) / (real[name] - 1) for name in drawn if real[name] > 1 + 1e-6]
        if ratios:
            shares[space] = float(numpy.median(ratios))
    if not shares:
        return Answer(
            UNKNOWN, "Variety cannot be measured: too few images of people of whom there are real ones."
        )
    least, most = min(shares.values()), max(shares.values())
    verdict, word = ("Diverse", GOOD) if least >= VARIED else ("Less diverse than real", DOUBTFUL)
    if least < UNIFORM:
        verdict, word = "Not diverse", POOR
    if fewest < VARIED_FROM:
        verdict, word = verdict + FEW_TELL, UNKNOWN
    beyond = "; more than real, where the images scatter beyond real walks" if most > 1 / VARIED else ""
    listed = ", ".join(f"{share:.0%} in {space} features" for space, share in shares.items())
    said = f"{verdict}: within a person they vary by this share of real ones: {listed} (Vendi score{beyond})."
    return Answer(word, said)


def _near(metrics: Metrics) -> str | None:
    both = {space: measures["kid"] for space, measures in metrics.get("distances", {}).items()}
    both = {space: kid for space, kid in both.items() if _known(kid)}
    if not both:
        return None
    telling = [space for space, kid in both.items() if standing(kid["generated"], kid["floor"]) > 0]
    verdict = f"As a set they can be told from real ones by {' and '.join(telling)} features"
    if not telling:
        verdict = "As a set they cannot be told from other real images with so many samples"
    listed = ", ".join(
        f"{space} {kid['generated']['value']:.2g} (real {kid['floor']['value']:.2g})"
        for space, kid in both.items()
    )
    return f"{verdict}; KID {listed}."


def _tokenizer(metrics: Metrics) -> str | None:
    if "tokenizer" not in metrics:
        return None
    kept = metrics["tokenizer"]
    return (
        f"The tokenizer's ceiling: of held-out images that only passed through it the judge names "
        f"{shown(kept['judged_right'], True)} right; PSNR {kept['psnr_db']['value']:.1f} dB, "
        f"SSIM {kept['ssim']['value']:.2f}."
    )


def usefulness(metrics: Metrics) -> Answer:
    """What generated images do to a classifier that has all real ones."""
    verdict = metrics.get("verdict")
    if not verdict:
        return Answer(UNKNOWN, "Useful: not tried; --verdict trains classifiers with and without them.")
    effect, beyond = verdict["differences"][verdict["primary"]], verdict["beyond_best_real"]
    reach = reach_of({**effect, "sentence": verdict["sentence"]})
    words = {HELPS: GOOD, HARMS: POOR}
    word = words.get(verdict["sentence"], DOUBTFUL if effect.get("equal_within") else UNKNOWN)
    return Answer(
        word,
        f"To a classifier that has all real images it {verdict['sentence']} to add generated ones: "
        f"{in_points(effect)} over {effect['reference']}, {100 * beyond['value']:+.1f} over "
        f"{beyond['reference']}, the best without generated ones"
        f"{f' ({reach})' if reach else ''}.",
    )


def _limits(metrics: Metrics) -> str:
    """What must be known before the other sentences are believed."""
    limits, ceiling = [], metrics["real"]["judged_right"]["share"]
    fewest = min(one["count"] for one in metrics["generated"]["judged_right"]["per_person"].values())
    if metrics["held_out"] == "val":
        limits.append("how good the judge is on images that did not calibrate it (there is no test split)")
    if ceiling < LEAST_CEILING:
        limits.append(f"much of identity by a judge that is right on {ceiling:.0%} of real images")
    if fewest < FEW:
        limits.append(f"much of single people (somebody has {fewest} generated images)")
    if _near(metrics) is None:
        limits.append("any distance (too few images of common people)")
    if metrics.get("selected"):
        limits.append("how often the generator copies or errs (what passed a selecting judge was kept)")
    alone = [name for name, one in metrics.get("groups", {}).items() if "other" not in one]
    if alone:
        limits.append(
            f"anything of another {' or '.join(alone)} (held-out images are of the same as training)"
        )
    if limit := limit_of((metrics.get("verdict") or {}).get("seeds", LEAST_SEEDS)):
        limits.append(limit)
    limits.append("anything of people, places and radars that are not in the data")
    return f"Cannot be said: {'; '.join(limits)}."
