"""Numbers in sentences and hand-written tables are those of the stored results: means over fills, the better reading in each."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest

from sidelight.core.files import read_json
from sidelight.lab.metrics import METRICS

ROOT = Path(__file__).parents[2]
OURS, IG, GS, OCCLUSION = "sidelight", "integrated_gradients", "gradient_shap", "occlusion"
GUIDED = "guided_backprop"
MNIST, NLVR, TWEETS, LIAR = "mnist/robust", "nlvr/robust", "tweets/robust", "liar/robust"
IMDB, ESNLIVE, FLICKR = "imdb/robust", "esnlive/robust", "flickr8k/robust"
SHORT, DEFAULT = "tweets/short", "imagenette/short"
#: page, its words, and for every number in them: run, method, metric, granularity or modality, fills (none: all)
QUOTED: list[tuple[str, str, list[tuple[str, str, str, str, str]]]] = [
    ("mnist", "| **ours, robust** | **0.015** | **0.095** | **0.915** |", [
        (MNIST, OURS, m, "pixel", "") for m in ("average_drop", "deletion_auc", "insertion_auc")
    ]),
    ("mnist", "| Integrated Gradients | 0.553 | 0.096 | 0.881 |", [
        (MNIST, IG, m, "pixel", "") for m in ("average_drop", "deletion_auc", "insertion_auc")
    ]),
    ("mnist", "SRG is 0.631, that of Gradient-SHAP 0.558 and that of Integrated Gradients 0.553", [
        (MNIST, who, "srg", "patch4", "") for who in (OURS, GS, IG)
    ]),
    ("mnist", "deletes\nbetter (0.078 against 0.101), and its SRG is higher (0.832 against 0.814)", [
        (MNIST, IG, "deletion_auc", "pixel", "noise blur"),
        (MNIST, OURS, "deletion_auc", "pixel", "noise blur"),
        (MNIST, IG, "srg", "pixel", "noise blur"),
        (MNIST, OURS, "srg", "pixel", "noise blur"),
    ]),
    ("imagenette", "an SRG of 0.424 by\npatch and 0.410 by pixel", [
        (DEFAULT, OURS, "srg", part, "") for part in ("patch16", "pixel")
    ]),
    ("two_digits", "SRG is 0.772, that of Integrated Gradients 0.671", [
        ("two_digits", who, "srg", "pixel", "") for who in (OURS, IG)
    ]),
    ("two_digits", "deletes better under zero (0.085, ours 0.105)", [
        ("two_digits", who, "deletion_auc", "pixel", "zero") for who in (IG, OURS)
    ]),
    ("tweets", "(0.031 as a mean over five fills; LIME 0.051, Integrated Gradients 0.072)", [
        (TWEETS, who, "average_drop", "token", "") for who in (OURS, "lime", IG)
    ]),
    ("tweets", "(SRG 0.446 against 0.428)", [(TWEETS, who, "srg", "token", "") for who in (OURS, IG)]),
    ("tweets", "(0.485 against 0.455)", [(TWEETS, who, "srg", "token", "drop mask") for who in (OURS, IG)]),
    ("tweets", "(AUPRC 0.753, Gradient-SHAP 0.724)", [(TWEETS, who, "auprc", "text", "") for who in (OURS, GS)]),
    ("tweets", "(0.460, ours 0.446)", [(TWEETS, who, "srg", "token", "") for who in ("lime", OURS)]),
    ("../../notes/rank-term", "have 0.031 and 0.753, Integrated Gradients\n0.072 and 0.722", [
        (TWEETS, who, m, part, "") for who in (OURS, IG) for m, part in (("average_drop", "token"), ("auprc", "text"))
    ]),
    ("../../notes/rank-term", "| **0.043** | **0.464** | 0.917 | **0.453** |", [
        (SHORT, OURS, m, "token", "") for m in ("average_drop", "deletion_auc", "insertion_auc", "srg")
    ]),
    ("../../notes/rank-term", "| 0.101 | 0.472 | 0.909 | 0.437 |", [
        (SHORT, IG, m, "token", "") for m in ("average_drop", "deletion_auc", "insertion_auc", "srg")
    ]),
    ("liar", "SRG 0.169, Gradient-SHAP 0.165,\nIntegrated Gradients 0.155, occlusion 0.146)", [
        (LIAR, who, "srg", "token", "") for who in (OURS, GS, IG, OCCLUSION)
    ]),
    ("liar", "SRG 0.180, Gradient-SHAP 0.177)", [(LIAR, who, "srg", "token", "drop mask") for who in (OURS, GS)]),
    ("liar", "(0.063, occlusion 0.073)", [(LIAR, who, "average_drop", "token", "drop mask") for who in (OURS, OCCLUSION)]),
    ("liar", "(drop 0.067, ours 0.072)", [(LIAR, who, "average_drop", "token", "") for who in (OCCLUSION, OURS)]),
    ("digits", "By patch occlusion is ahead by 0.009 and Guided Backprop by 0.003", [
        ("digits/robust", f"{who} - {OURS}", "srg", "patch4", "") for who in (OCCLUSION, GUIDED)
    ]),
    ("nlvr", "(SRG 0.133 as a mean over fills, Integrated Gradients 0.122)", [
        (NLVR, who, "srg", "image", "") for who in (OURS, IG)
    ]),
    ("nlvr", "(drop 0.118 on the picture, occlusion 0.174, and 0.144 on both, Integrated Gradients 0.231)", [
        (NLVR, OURS, "average_drop", "image", ""),
        (NLVR, OCCLUSION, "average_drop", "image", ""),
        (NLVR, OURS, "average_drop", "image+text", ""),
        (NLVR, IG, "average_drop", "image+text", ""),
    ]),
    ("nlvr", "(SRG 0.239, ours 0.172), and both together (0.204, ours 0.175)", [
        (NLVR, who, "srg", part, "") for part in ("text", "image+text") for who in (OCCLUSION, OURS)
    ]),
    ("nlvr", "(drop 0.285, random 0.278)", [
        (NLVR, who, "average_drop", "image+text", "noise+mask") for who in (OURS, "random")
    ]),
    ("nlvr", "(drop 0.075 on the picture and 0.104 on both)", [
        (NLVR, "sidelight (thesis)", "average_drop", part, "") for part in ("image", "image+text")
    ]),
    ("flickr8k", "(drop 0.159,\nocclusion 0.250)", [(FLICKR, who, "average_drop", "pixel", "") for who in (OURS, OCCLUSION)]),
    ("flickr8k", "(0.224, random 0.306, Gradient-SHAP 0.347)", [
        (FLICKR, who, "average_drop", "image+text", "") for who in (OURS, "random", GS)
    ]),
    ("flickr8k", "(0.195, Integrated Gradients 0.166)", [(FLICKR, who, "srg", "image+text", "") for who in (OURS, IG)]),
    ("flickr8k", "(0.272, occlusion\n0.251)", [
        (FLICKR, who, "srg", "token", "noise+mask blur+drop") for who in (OURS, OCCLUSION)
    ]),
    ("flickr8k", "SRG is 0.257 for both together, 0.108 for the picture (ours 0.034) and 0.317 for the\nwords (0.269)", [
        (FLICKR, OCCLUSION, "srg", "image+text", ""),
        *((FLICKR, who, "srg", part, "") for part in ("pixel", "token") for who in (OCCLUSION, OURS)),
    ]),
    ("flickr8k", "(0.080, ours 0.139)", [(FLICKR, who, "average_drop", "token", "") for who in ("random", OURS)]),
    ("esnlive", "(SRG 0.176 and 0.176,", [(ESNLIVE, who, "srg", "token", "") for who in (OURS, IG)]),
    ("esnlive", "(0.192 against 0.173)", [(ESNLIVE, who, "srg", "token", "noise+mask blur+drop") for who in (OURS, IG)]),
    ("esnlive", "(0.298 against 0.185,", [(ESNLIVE, who, "srg", "image+text", "") for who in (OURS, "sidelight (thesis)")]),
    ("esnlive", "(0.357 together, 0.197 on words)", [(ESNLIVE, OCCLUSION, "srg", p, "") for p in ("image+text", "token")]),
    ("esnlive", "ahead together (0.313)", [(ESNLIVE, IG, "srg", "image+text", "")]),
    ("esnlive", "(drop 0.235 and 0.142)", [(ESNLIVE, who, "average_drop", "image+text", "") for who in (OURS, "random")]),
    ("esnlive", "costs 0.02", [(ESNLIVE, OURS, "average_drop", "image", "")]),
    ("planted_text", "(0.530, Gradient-SHAP 0.511, occlusion 0.362)", [
        ("planted_text/robust", who, "srg", "token", "") for who in (OURS, GS, OCCLUSION)
    ]),
    ("planted_text", "(0.18, Gradient-SHAP 0.34)", [
        ("planted_text/robust", who, "average_drop", "token", "") for who in (OURS, GS)
    ]),
    ("imdb", "(drop 0.020, Gradient-SHAP\n0.120)", [(IMDB, who, "average_drop", "token", "") for who in (OURS, GS)]),
    ("imdb", "SRG (0.485, ours 0.466)", [(IMDB, who, "srg", "token", "") for who in (GS, OURS)]),
    ("imdb", "(0.530, ours 0.508,\nIntegrated Gradients 0.499)", [
        (IMDB, who, "srg", "token", "drop mask") for who in (GS, OURS, IG)
    ]),
    ("imdb", "(0.865, ours 0.858)", [(IMDB, who, "insertion_auc", "token", "") for who in (OCCLUSION, OURS)]),
    ("cifar10", "(0.144, occlusion 0.468)", [
        ("cifar10/robust", who, "average_drop", "pixel", "") for who in (OURS, OCCLUSION)
    ]),
    ("../../notes/judges", "| 0.549 | 0.576 | **0.865** | 0.742 |", [
        ("mnist/rivals", IG, "average_drop", "pixel", ""),
        ("mnist/rivals", IG, "srg", "patch4", ""),
        ("mnist/rivals", IG, "srg", "pixel", "zero"),
        ("mnist/rivals", IG, "srg", "pixel", "black"),
    ]),
]  # fmt: skip


def _mean(run: str, method: str, metric: str, part: str, fills: str) -> float:
    """The mean over fills of the better reading under each."""
    if " - " in method:
        first, second = (_mean(run, one, metric, part, fills) for one in method.split(" - "))
        return first - second
    best = max if METRICS[metric].direction == "higher" else min
    found: dict[str, float] = {}
    for row in read_json(ROOT / "results" / run / "results.json")["rows"]:
        if (row["method"], row["metric"]) != (method, metric):
            continue
        if part not in (row["granularity"], row["modality"]) or (fills and row["fill"] not in fills.split()):
            continue
        fill = row["fill"]
        found[fill] = best(found[fill], row["mean"]) if fill in found else row["mean"]
    return fmean(found.values())


@pytest.mark.parametrize(("page", "words", "numbers"), QUOTED, ids=[f"{p}-{w[:30]}" for p, w, _ in QUOTED])
def test_quoted_numbers_are_those_of_the_results(
    page: str, words: str, numbers: list[tuple[str, str, str, str, str]]
) -> None:
    assert words in (ROOT / "docs" / "results" / "notes" / f"{page}.md").read_text()
    quoted = [token.strip("|*(), ") for token in words.split() if token.strip("|*(), ").startswith("0.")]
    assert len(quoted) == len(numbers)
    for text, about in zip(quoted, numbers, strict=True):
        half = 0.5 * 10 ** -len(text.partition(".")[2])
        assert float(text) == pytest.approx(_mean(*about), abs=half * 1.01), about
