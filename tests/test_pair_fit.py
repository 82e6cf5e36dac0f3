"""Fitting a scorer beside an image-text model in the library: what is trained, and with which terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pair_models import make, make_target, make_tokenizer, match_rows
from sidelight.errors import ConfigError, UnknownNameError
from sidelight.explainer import Explainer
from sidelight.inputs.images import ImageTransform
from sidelight.scorers import ScorerConfig
from sidelight.targets import ImageTextProcessor
from sidelight.training.coalitions import FLOOR
from sidelight.training.loss import ScorerObjective
from sidelight.training.network import new_scorer
from sidelight.training.objective import task_loss
from sidelight.training.settings import ObjectiveConfig
from sidelight.training.terms import objective

SMALL: dict[str, Any] = {"image": {"channels": [8, 8]}, "text": {"width": 16, "layers": 1, "heads": 2}}


@pytest.mark.parametrize("name", ["fusion-vit", "clip", "vilt-vqa"])
def test_fit_explain_save_and_load_in_the_library(name: str, tmp_path: Path) -> None:
    processor = ImageTextProcessor(ImageTransform((32, 32)), make_tokenizer())
    model = make(name)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    pairs = [(r["image"], r["text"]) for r in match_rows(48)]
    explainer = Explainer.fit(
        model,
        pairs,
        processor=processor,
        output_dir=tmp_path / "run",
        label="prediction",
        decoder=SMALL,
        on_collapse="warn",
        layers=[-2, -1],
        context=False,
        epochs=1,
        batch_size=16,
    )
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    found = explainer.explain(pairs[:3])
    assert [set(e.scores) for e in found] == [{"image", "text"}] * 3
    again = Explainer.from_pretrained(tmp_path / "run" / "scorer", model, processor=processor)
    assert again.target.options() == explainer.target.options()
    assert again.target.options()["context"] is False
    for a, b in zip(found, again.explain(pairs[:3]), strict=True):
        assert all(np.array_equal(a.scores[m], b.scores[m]) for m in a.scores)


def test_each_modality_is_masked_alone_and_together() -> None:
    target = make_target("fusion-resnet")
    rows = [(r["image"], r["text"]) for r in match_rows(4)]
    scorer = new_scorer(target, rows, ScorerConfig(decoder=SMALL))
    config = ObjectiveConfig(label="prediction", fills=("mean",), calibration="fixed", complement_weight=1.0)
    module = ScorerObjective(scorer, target, config).eval()
    inputs = target.reader.read(rows).inputs
    with torch.no_grad():
        step = module.step(inputs, None)
        terms, scores = objective(step), step.scores
        goal = torch.nn.functional.one_hot(target.encode(inputs).prediction, 3).float()

        def masked(names: tuple[str, ...]) -> torch.Tensor:
            return task_loss(target.classify(inputs, {m: scores[m] for m in names}, "mean"), goal)

        torch.testing.assert_close(terms["task"], masked(("image", "text")))
        torch.testing.assert_close(terms["solo"], masked(("image",)) + masked(("text",)))


def test_coalitions_ask_each_sample_with_its_own_fill_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    target, draws, unit = make_target("fusion-resnet"), 6, 0.5
    rows = [(r["image"], r["text"]) for r in match_rows(4)]
    torch.manual_seed(0)  # by chance the scores of a short text may be hard too
    scorer = new_scorer(target, rows, ScorerConfig(decoder=SMALL))
    config = ObjectiveConfig(
        label="prediction",
        fills=("noise",),
        coalition_weight=1.0,
        coalition_draws=draws,
        coalition_unit=unit,
        coalition_modalities=["image"],
        coalition_focus=True,
    )
    module, inputs = ScorerObjective(scorer, target, config).eval(), target.reader.read(rows).inputs
    classify, asked = target.classify, []

    def spy(given: Any, scores: Any, fill: Any = "zero", unmasked: Any = None) -> torch.Tensor:
        hard = all(bool(((s == 0) | (s == 1)).all()) for s in scores.values())
        if hard:
            asked.append((given["pixel_values"], scores))
        return classify(given, scores, fill, unmasked=unmasked)

    monkeypatch.setattr(target, "classify", spy)
    with torch.no_grad():
        step = module.step(inputs, None)
        terms, encoding = objective(step), step.encoding
        raw = scorer.raw(encoding).map["image"]
        own = target.fill_values(inputs, "noise", range(4))

        def probability(sample: int, mask: torch.Tensor) -> torch.Tensor:
            one = {k: v[sample : sample + 1] for k, v in inputs.items()}
            logits = classify(one, {"image": mask[None]}, {m: v[sample : sample + 1] for m, v in own.items()})
            return logits.softmax(-1)[0, encoding.prediction[sample]]

        assert all(set(masks) == {"image"} for _, masks in asked)
        hidden, *coalitions = asked  # all of the picture hidden first, to see where it decides
        assert bool((hidden[1]["image"] == 0).all())
        error, counts = torch.zeros(4), torch.zeros(4)
        for pixels, masks in coalitions:
            half = len(pixels) // 2
            for kept, rest, shown in zip(*masks["image"].split(half), pixels[:half], strict=True):
                (sample,) = [i for i in range(4) if torch.equal(shown, inputs["pixel_values"][i])]
                assert torch.equal(kept + rest, torch.ones_like(kept))
                effect = probability(sample, kept) - probability(sample, rest)
                error[sample] += (effect - (raw[sample] * (2 * kept - 1)).mean() / unit) ** 2
                counts[sample] += 1
        torch.testing.assert_close(terms["coalition"], error / draws, rtol=1e-4, atol=1e-6)
        change = torch.stack(
            [encoding.probabilities[i].max() - probability(i, torch.zeros_like(raw[i])) for i in range(4)]
        ).abs()
        share = (change + FLOOR) / (change + FLOOR).sum() * 4 * draws
        assert counts.sum() == 4 * draws
        assert (counts - share).abs().max() < 1.001


def test_a_sample_is_without_map_only_where_no_modality_has_one() -> None:
    target = make_target("fusion-resnet")
    rows = [(r["image"], r["text"]) for r in match_rows(4)]
    scorer = new_scorer(target, rows, ScorerConfig(decoder=SMALL))
    module = ScorerObjective(scorer, target, ObjectiveConfig(label="prediction", fills=("mean",))).eval()
    inputs = target.reader.read(rows).inputs

    def constant() -> dict[str, float]:
        with torch.no_grad():
            return {k: float(v) for k, v in module(**inputs).items() if k.startswith("constant")}

    assert constant() == {"constant": 0, "constant_image": 0, "constant_text": 0}
    torch.nn.init.constant_(scorer.decoders["image"].decoder.readout.bias, -1e4)
    assert constant() == {"constant": 0, "constant_image": 1, "constant_text": 0}


def test_unknown_fills_of_a_pair_are_refused_at_once() -> None:
    target = make_target("fusion-resnet")
    scorer = new_scorer(target, [(r["image"], r["text"]) for r in match_rows(1)], ScorerConfig(decoder=SMALL))
    with pytest.raises(UnknownNameError, match="unknown text fill 'noise'"):
        ScorerObjective(scorer, target, ObjectiveConfig(fills=("zero", "zero+noise")))


def test_a_training_that_another_version_began_without_the_slope_term_goes_on_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # for a while `robust` had no slope term beside pairs
    def fit(steps: int, **given: Any) -> Explainer:
        return Explainer.fit(
            make("fusion-vit"),
            [(r["image"], r["text"]) for r in match_rows(16)],
            processor=ImageTextProcessor(ImageTransform((32, 32)), make_tokenizer()),
            output_dir=tmp_path / "run",
            decoder=SMALL,
            on_collapse="warn",
            batch_size=8,
            extra={"max_steps": steps},
            **given,
        )

    first = fit(2, slope_weight=0.0)
    with caplog.at_level("INFO"):
        again = fit(2)
    assert "finished: it is taken up again" in caplog.text
    for name, values in first.scorer.state_dict().items():
        assert torch.equal(values, again.scorer.state_dict()[name])
    with pytest.raises(ConfigError, match="slope_weight"):
        fit(2, slope_weight=0.5)
