"""Learned explainers of others: their settings, their losses by hand, and toys whose evidence is known."""

from __future__ import annotations

import csv
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import toy_models
from helpers_training import TRANSFORM, classifier, corner_rows, corner_tensor
from sidelight import Explainer, ImageTransform
from sidelight.errors import ConfigError
from sidelight.lab.config.files import dump_config, load_config, parse_config
from sidelight.lab.config.learned_rivals import LEARNED_RIVALS, learned_rival
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from sidelight.scorers import ScorerConfig
from sidelight.targets import as_target
from sidelight.training.loss import ScorerObjective
from sidelight.training.network import new_scorer
from sidelight.training.presets import objective_of
from sidelight.training.terms import objective
from tiny_runs import IMAGE, TEXT


def test_every_learned_rival_tells_its_source_and_its_choices() -> None:
    assert set(LEARNED_RIVALS) == {"nemt", "ra_nem", "attributive_masking"}
    for name, rival in LEARNED_RIVALS.items():
        assert rival.name == name
        assert rival.doc
        assert "20" in rival.source  # a year
        assert len(rival.choices.split()) > 20
        assert objective_of(rival.objective).preset == "thesis"


def test_a_kind_takes_objective_and_head_from_its_name(tmp_path: Path) -> None:
    beside = {
        "nemt": {"objective": "nemt"},
        "sparse": {"objective": {"rival": "nemt", "shown_weight": 3.0}, "scorer": {"sigmoid": False}},
        "thesis": {"objective": "thesis"},
    }
    config = parse_config({**IMAGE, "beside": beside})
    nemt, sparse = config.beside["nemt"], config.beside["sparse"]
    assert (nemt.objective.mask_weight, nemt.objective.shown_weight) == (0.0, 1.0)
    assert (sparse.objective.shown_weight, sparse.objective.probability_weight) == (3.0, 2.0)
    section = nemt.scorer_of(config.scorer)
    assert (section.relu, section.sigmoid, section.standardise, section.rescale) == (
        False,
        True,
        False,
        False,
    )
    assert section.channels == [8, 4]  # of the run
    assert sparse.scorer_of(config.scorer).sigmoid is False
    assert config.beside["thesis"].scorer_of(config.scorer) == config.scorer
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"objective": {"rival": "nemd"}}, "Did you mean 'nemt'"),
        ({"objective": {"rival": "nemt", "shown_weigth": 1}}, "shown_weigth"),
        ({"objective": "nemt", "scorer": {"reluu": False}}, "reluu"),
        ({"objective": "rob"}, "no preset 'rob'"),
    ],
)
def test_unknown_names_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({**IMAGE, "beside": {"other": given}})


def test_only_names_of_rivals_are_taken_for_them() -> None:
    assert learned_rival("thesis") is None
    assert learned_rival({"label": "data"}) is None
    assert learned_rival(None) is None
    found = learned_rival({"rival": "ra_nem"})
    assert found is not None
    assert found.name == "ra_nem"


def step_of(name: str, **changes: Any) -> Any:
    """A step of a rival's objective on four corner images, under a scorer of its head with random weights."""
    rival = LEARNED_RIVALS[name]
    target = as_target(classifier(), TRANSFORM)
    config = objective_of({**rival.objective, **changes})
    torch.manual_seed(3)
    scorer = new_scorer(target, corner_rows(1), ScorerConfig(**rival.scorer, by_class=False))
    module = ScorerObjective(scorer, target, config).eval()
    return module.step({"pixel_values": corner_tensor(4)}, None), target


def p_of(target: Any, x: Tensor, classes: Tensor) -> Tensor:
    logits = target.forward({"pixel_values": x}, {"image": x})
    return logits.double().softmax(-1).gather(1, classes[:, None]).squeeze(1)


def test_the_loss_of_nemt_by_hand() -> None:
    step, target = step_of("nemt")
    x = corner_tensor(4)
    scores = step.scores["image"].detach()
    classes = step.encoding.prediction
    change = p_of(target, scores * x, classes) - p_of(target, x, classes)
    expected = scores.double().flatten(1).mean(1) + 2 * change**2
    terms = objective(step)
    torch.testing.assert_close(terms["loss"].double(), expected, rtol=1e-5, atol=1e-6)
    assert 0 < float(scores.min()) < float(scores.max()) < 1


def test_the_loss_of_attributive_masking_by_hand() -> None:
    step, target = step_of("attributive_masking", fills=["zero"])
    x = corner_tensor(4)
    s = step.scores["image"].detach()
    output = target.encode({"pixel_values": x}).logits.double().softmax(-1)
    kept = target.forward({}, {"image": s * x}).double().log_softmax(-1)
    gone = p_of(target, (1 - s) * x, output.argmax(-1))
    expected = -(output * kept).sum(-1) - torch.log(1 - gone) - torch.log(1 - s.double()).flatten(1).mean(1)
    torch.testing.assert_close(objective(step)["loss"].double(), expected, rtol=1e-4, atol=1e-5)


def test_the_loss_of_ra_nem_is_the_rank_term_of_single_pixels_alone() -> None:
    step, target = step_of("ra_nem")
    terms = objective(step)
    assert torch.equal(terms["loss"], terms["rank"])
    assert not terms["task"].requires_grad
    # by hand in float64, with the noise of a validation
    x, classes = corner_tensor(4), step.encoding.prediction
    raw = step.ranking["image"].detach().flatten(1)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for draw in range(6):
        shares = (draw + torch.rand(4, generator=generator)) / 6
        noise = -(-torch.rand(raw.shape, generator=generator).clamp(1e-9).log()).clamp(min=1e-9).log()
        noisy = raw - raw.logsumexp(1, keepdim=True) + noise
        count = (shares * 256).floor().clamp(1, 255).long()
        keep = (noisy.argsort(1, descending=True).argsort(1) < count[:, None]).float().view(4, 1, 16, 16)
        losses.append(1 - p_of(target, keep * x, classes) + p_of(target, (1 - keep) * x, classes))
    expected = torch.stack(losses).mean(0)
    torch.testing.assert_close(terms["loss"].double(), expected, rtol=1e-5, atol=1e-6)


SQUARES = [(8 * (k // 2) + 2, 8 * (k % 2) + 2) for k in range(4)]


class Squares(nn.Module):
    """Four classes whose logits are sums over four squares of 4 × 4 pixels, so nothing else can be evidence."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 8, 3, 2, 1)
        weight = torch.zeros(4, 1, 16, 16)
        for k, (top, left) in enumerate(SQUARES):
            weight[k, 0, top : top + 4, left : left + 4] = 0.5
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        self.second(self.first(x))  # states for a scorer to read
        return torch.einsum("bchw,kchw->bk", x, self.weight)


def squares_model() -> Squares:
    torch.manual_seed(0)
    return Squares().eval()


def square_rows(count: int, seed: int = 0) -> list[tuple[np.ndarray, int]]:
    """Dark pictures with a bright square at one of the four places, and bright dots elsewhere."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        image = rng.integers(0, 40, (16, 16), dtype=np.uint8)
        image[rng.integers(0, 16, 20), rng.integers(0, 16, 20)] = 255
        for top, left in SQUARES:
            image[top : top + 4, left : left + 4] = rng.integers(0, 40, (4, 4))
        label = int(rng.integers(4))
        top, left = SQUARES[label]
        image[top : top + 4, left : left + 4] = 255
        rows.append((image, label))
    return rows


def on_square(explainer: Explainer, count: int = 40) -> float:
    """Share of the sixteen highest scores that lie on the square that decides."""
    hits = 0.0
    for image, label in square_rows(count, seed=5):
        top, left = SQUARES[label]
        first = torch.as_tensor(explainer.explain(image).map).flatten().topk(16).indices
        rows, columns = first // 16, first % 16
        inside = (rows >= top) & (rows < top + 4) & (columns >= left) & (columns < left + 4)
        hits += float(inside.float().mean())
    return hits / count


QUIET: dict[str, Any] = {
    "batch_size": 16,
    "learning_rate": 5e-3,
    "patience": 0,
    "on_collapse": "warn",
    "extra": {"disable_tqdm": True, "use_cpu": True},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nemt", "ra_nem"])
def test_the_square_that_decides_comes_first(name: str, tmp_path: Path) -> None:
    rival = LEARNED_RIVALS[name]
    explainer = Explainer.fit(
        squares_model(),
        square_rows(256),
        eval=square_rows(32, seed=1),
        processor=ImageTransform((16, 16), mode="L", mean=(0.0,), std=(1.0,)),
        layers=["first", "second"],
        objective=dict(rival.objective),
        scorer=dict(rival.scorer),
        epochs=8,
        output_dir=tmp_path,
        **QUIET,
    )
    assert on_square(explainer) > 0.8  # 0.06 by chance
    with (tmp_path / "log.csv").open(newline="") as handle:
        columns = set(next(csv.DictReader(handle)))
    assert ("shown" in columns) is (name == "nemt")
    assert "emptiness" not in columns


NEUTRAL = ["the", "a", "film", "was", "on", "and", "it", "we", "saw", "then", "there", "here", "some", "time"]
KEYS = ("dull", "superb")


def keyword_rows(count: int, seed: int = 0, silent: bool = True) -> list[dict[str, Any]]:
    """Texts of eight neutral words, and one that decides somewhere among them. A third has none of these, if ``silent``:
    otherwise a text without any word would belong to one of the two classes, whose texts would need no word."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        label = rng.randrange(3 if silent else 2)
        words = [rng.choice(NEUTRAL) for _ in range(8)]
        words.insert(rng.randrange(9), (*KEYS, rng.choice(NEUTRAL))[label])
        rows.append({"text": " ".join(words), "label": label})
    return rows


def keyword_model(rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    """A small BERT that has learnt the two words, also among mask tokens, and its tokenizer."""
    tokenizer = toy_models.bert_like(
        toy_models.wordpiece([r["text"] for r in rows], 400).to_str(), model_max_length=32
    )
    torch.manual_seed(0)
    model = toy_models.bert(num_labels=3, vocab_size=len(tokenizer)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    batch = tokenizer([r["text"] for r in rows], padding=True, return_tensors="pt")
    labels = torch.tensor([r["label"] for r in rows])
    decides = torch.isin(batch["input_ids"], torch.tensor(tokenizer.convert_tokens_to_ids([*KEYS])))
    for start in range(0, 300 * 32, 32):
        at = torch.arange(start, start + 32) % len(rows)
        own = {k: v[at] for k, v in batch.items()}
        hidden = torch.rand(own["input_ids"].shape) < torch.rand(32, 1)
        ordinary = (own["input_ids"] >= len(toy_models.BERT_TOKENS)) & ~decides[at]
        own["input_ids"] = own["input_ids"].masked_fill(hidden & ordinary, tokenizer.mask_token_id)
        loss = model(**own, labels=labels[at]).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), tokenizer


@pytest.mark.slow
def test_the_word_that_decides_comes_first(tmp_path: Path) -> None:
    rows = keyword_rows(480)
    model, tokenizer = keyword_model(rows)
    rival = LEARNED_RIVALS["attributive_masking"]
    explainer = Explainer.fit(
        model,
        rows,
        eval=keyword_rows(32, seed=1),
        processor=tokenizer,
        objective=dict(rival.objective),
        scorer=dict(rival.scorer),
        epochs=6,
        output_dir=tmp_path,
        **QUIET,
    )
    asked = keyword_rows(40, seed=2, silent=False)
    found = explainer.explain([row["text"] for row in asked])
    assert [f.prediction for f in found] == [row["label"] for row in asked]
    first = [f.inputs["text"][int(f.map.argmax())].strip() for f in found]
    assert sum(word in KEYS for word in first) >= 36


@pytest.mark.parametrize("kind", ["image", "text"])
def test_learned_rivals_are_trained_and_measured_beside_a_run(kind: str, tmp_path: Path) -> None:
    values = {"image": IMAGE, "text": TEXT}[kind]
    names = [n for n, r in LEARNED_RIVALS.items() if kind in r.modalities]
    run = Run.create(
        tmp_path / "run",
        parse_config(
            {
                **values,
                "beside": {n: {"objective": n} for n in names},
                "evaluation": {
                    **values["evaluation"],
                    "metrics": ["average_drop", "srg"],
                    "rivals": [{"distillation_masks": {"n_samples": 8, "steps": 4, "window": 5}}],
                },
            }
        ),
    )
    facts = run.fit()
    assert set(facts["scorers"]) == {"0", *(f"{n}-0" for n in names)}
    config = run.explainer(kind=names[0]).scorer.config
    assert (config.by_class, config.relu) == (False, False)
    rows = evaluate_run(run)["rows"]
    assert {r["method"] for r in rows} == {
        "sidelight",
        *(f"sidelight ({n})" for n in names),
        "distillation_masks",
    }
    assert all(math.isfinite(r["mean"]) for r in rows)
