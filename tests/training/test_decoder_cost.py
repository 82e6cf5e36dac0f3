"""A decoder costs a stated share of its target, counted here by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import pair_models
import text_models
import toy_models
from sidelight import Explainer, ImageTransform, ScorerConfig
from sidelight.core.types import StateSpec
from sidelight.scorers.image import ImageDecoder, Skip
from sidelight.targets import as_target
from sidelight.training import decoder_cost
from sidelight.training.decoder_cost import CHEAPER_FROM, GATES, LARGEST_SHARE
from sidelight.training.network import new_scorer

SIDE = 128


def pictures(count: int = 4, side: int = SIDE) -> list[Image.Image]:
    draw = np.random.default_rng(0)
    return [Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)) for _ in range(count)]


def mobilenet(side: int = SIDE) -> Any:
    model = toy_models.seeded(lambda: toy_models.mobilenet(num_labels=3, image_size=side)).eval()
    return as_target(model, ImageTransform((side, side)))


def multiplications(module: nn.Module, call: Any) -> int:
    """Of the convolutions and linear layers of ``module`` during ``call``."""
    counts: list[int] = []

    def count(layer: Any, _: Any, out: Tensor) -> None:
        inside = layer.weight[0].numel()
        counts.append(out.numel() * inside)

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return sum(counts)


def share_of(scorer: Any, target: Any) -> float:
    inputs = target.reader.read(pictures(1)).inputs
    encoding = target.encode(inputs)
    own = multiplications(scorer, lambda: scorer.raw(encoding))
    return own / multiplications(target.model, lambda: target.model(**inputs))


def test_a_decoder_of_a_small_target_is_cut_until_it_costs_a_twentieth() -> None:
    target = mobilenet()
    usual = new_scorer(target, pictures(1), ScorerConfig(by_class=True), fitted=False)
    fitted = new_scorer(target, pictures(1), ScorerConfig(by_class=True))
    assert share_of(usual, target) > 4 * LARGEST_SHARE
    assert share_of(fitted, target) < share_of(usual, target) / 4
    cheapest = dict(decoder_cost.CHEAPER["image"][-1][1])
    chosen = dict(fitted.config.decoder["image"])
    # this target is so small that even the cheapest decoder is above the limit: then it has the cheapest one
    assert share_of(fitted, target) <= LARGEST_SHARE or chosen == cheapest


def test_a_saving_leaves_the_last_stage_wide_enough() -> None:
    """With 8 channels there, two trainings of three learnt less (``results/imagenette/decoder/seeds.csv``)."""
    target = mobilenet(224)
    for _, options in decoder_cost.CHEAPER["image"]:
        scorer: Any = new_scorer(
            target, pictures(1, 224), ScorerConfig(decoder={"image": options}, by_class=True)
        )
        assert scorer.decoders["image"].decoder.readout.in_channels >= 12


def test_each_saving_costs_less_than_the_one_before() -> None:
    target = mobilenet()
    shapes = [ScorerConfig(by_class=True, decoder={"image": o}) for _, o in decoder_cost.CHEAPER["image"]]
    shares = [share_of(new_scorer(target, pictures(1), shape), target) for shape in shapes]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == len(shares)


def test_cells_of_four_stay_as_long_as_they_cost_a_twentieth() -> None:
    """As beside NLVR's classifier, where cells of eight pixels point worse (``results/nlvr/cells``)."""
    model = toy_models.seeded(
        lambda: toy_models.resnet(
            num_labels=3, embedding_size=32, hidden_sizes=[64, 96, 128], layer_type="basic"
        )
    ).eval()
    target = as_target(model, ImageTransform((SIDE, SIDE)))
    fitted = new_scorer(target, pictures(1), ScorerConfig(by_class=True))
    assert share_of(fitted, target) <= LARGEST_SHARE
    chosen = fitted.config.decoder["image"]
    assert (chosen["stride"], tuple(chosen["channels"])) == (4, (24, 16, 12, 12))


def test_the_limits_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    target = mobilenet()
    usual = share_of(new_scorer(target, pictures(1), ScorerConfig(by_class=True), fitted=False), target)
    chosen = []
    for limit in (1.2 * usual, 0.8 * usual):
        rungs = [(limit, options) for _, options in decoder_cost.CHEAPER["image"]]
        monkeypatch.setattr(decoder_cost, "CHEAPER", {"image": tuple(rungs)})
        chosen.append(new_scorer(target, pictures(1), ScorerConfig(by_class=True)).config.decoder)
    assert chosen == [{}, {"image": decoder_cost.CHEAPER["image"][0][1]}]


@pytest.mark.parametrize("given", [{"stride": 2}, {"channels": (8, 8)}])
def test_what_the_user_asks_for_stays(given: dict[str, Any]) -> None:
    config = ScorerConfig(by_class=True, decoder={"image": given})
    assert new_scorer(mobilenet(), pictures(1), config).config == config


#: width of a small BERT, and the text decoder that is chosen beside it if it costs too much
WIDTH, NARROW = 256, {"text": {"width": 64, "layers": 1}}


def text_target(layers: int, width: int = WIDTH) -> Any:
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "vocab_size": 3000}
    model = toy_models.seeded(lambda: toy_models.bert(num_labels=2, num_hidden_layers=layers, **sizes))
    return as_target(model.eval(), text_models.make_tokenizer("wordpiece"))


def text_share(layers: int) -> float:
    """Of the operations for a token: two layers of 128 channels behind a projection, beside ``layers`` of BERT."""
    a_layer = 4 + 2 * 4  # query, key, value, output; a feed-forward part that is four times as wide
    return (WIDTH * 128 + 2 * (4 + 2 * 2) * 128**2) / (layers * a_layer * WIDTH**2)


@pytest.mark.parametrize("layers", [2, 24])
def test_a_text_decoder_that_costs_much_is_narrow(layers: int) -> None:
    assert (text_share(layers) > CHEAPER_FROM) == (layers == 2)
    config = new_scorer(text_target(layers), ["a fine film"], ScorerConfig(by_class=True)).config
    assert config.decoder == (NARROW if layers == 2 else {})


def test_a_text_decoder_beside_narrow_states_stays() -> None:
    """Short trainings beside a tiny classifier end worse with a narrow decoder, and its arithmetic is small."""
    found = [
        new_scorer(text_target(2, width), ["a fine film"], ScorerConfig(by_class=True)).config.decoder
        for width in (128, 132)
    ]
    assert found == [{}, NARROW]


def test_a_text_decoder_that_the_user_chose_stays() -> None:
    config = ScorerConfig(by_class=True, decoder={"text": {"width": 128}})
    assert new_scorer(text_target(2), ["a fine film"], config).config == config


def test_a_text_decoder_beside_small_pictures_stays() -> None:
    config = new_scorer(
        pair_models.make_target("fusion-resnet"), pair_models.pairs()[:1], ScorerConfig()
    ).config
    assert config.decoder == {}


def test_a_text_decoder_becomes_narrow_before_a_picture_becomes_coarser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside NLVR's classifier the picture got cells of eight pixels, for operations that the text then saved at no cost."""
    pooled, narrow = (dict(decoder_cost.CHEAPER[m][0][1]) for m in ("image", "text"))

    def thousandths(config: ScorerConfig, *_: Any) -> int:
        picture = 45 if config.decoder.get("image") == pooled else 180
        return picture + (3 if config.decoder.get("text") == narrow else 16)

    monkeypatch.setattr(decoder_cost, "_operations", lambda *_: (None, 1000))
    monkeypatch.setattr(decoder_cost, "decoder_flops", thousandths)
    wide: Any = SimpleNamespace(channels=384)
    spec: Any = SimpleNamespace(
        feature_shape={"image": (1, SIDE, SIDE)}, states={"image": [wide], "text": [wide]}
    )
    found = decoder_cost.affordable(ScorerConfig(by_class=True), cast(Any, None), {}, spec)
    assert found.decoder == {"image": pooled, "text": narrow}


def vit(side: int, patch: int) -> Any:
    return as_target(
        toy_models.seeded(lambda: toy_models.vit(num_labels=3, image_size=side, patch_size=patch)).eval(),
        ImageTransform((side, side)),
    )


def test_small_pictures_of_a_transformer_are_unfolded_at_once() -> None:
    decoder: Any = new_scorer(vit(32, 8), pictures(1, 32), ScorerConfig(by_class=True)).decoders["image"]
    assert decoder.decoder.sizes == [(4, 4), (32, 32)]
    assert decoder.decoder.readout.out_channels == 48
    assert len(decoder.decoder.gates) == GATES


def test_large_pictures_of_a_transformer_are_not() -> None:
    config = new_scorer(vit(160, 40), pictures(1, 160), ScorerConfig(by_class=True)).config
    assert "direct" not in config.decoder.get("image", {})


def test_the_thesiss_decoder_doubles_the_resolution() -> None:
    decoder: Any = new_scorer(vit(32, 8), pictures(1, 32), ScorerConfig()).decoders["image"]
    assert decoder.decoder.sizes == [(4, 4), (8, 8), (16, 16), (32, 32)]


def test_small_pictures_keep_their_pixels() -> None:
    scorer = new_scorer(mobilenet(64), pictures(1, 64), ScorerConfig())
    assert scorer.config.decoder == {}
    decoder: Any = scorer.decoders["image"]
    assert decoder.decoder.sizes[-1] == (64, 64)


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("middle", [0.0, 3.0])
def test_a_skip_is_a_mean_over_cells_and_a_norm_and_a_product(pool: int, middle: float) -> None:
    torch.manual_seed(0)
    skip = Skip(6, 4, 1, pool).double()
    for p in skip.parameters():
        nn.init.normal_(p)
    state = torch.randn(2, 6, 8, 12, dtype=torch.float64) * 2 + middle
    cells = state.numpy().reshape(2, 6, 8 // pool, pool, 12 // pool, pool).mean((3, 5))
    flat = cells.reshape(2, -1)
    z = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + skip.norm.eps)
    z = z.reshape(cells.shape) * skip.norm.weight.detach().numpy()[:, None, None]
    z = z + skip.norm.bias.detach().numpy()[:, None, None]
    by_hand = np.einsum("oc,bchw->bohw", skip.project.weight.detach().numpy()[:, :, 0, 0], z)
    by_hand = by_hand + skip.project.bias.detach().numpy()[:, None, None]  # type: ignore[union-attr]
    np.testing.assert_allclose(skip(state).detach().numpy(), by_hand, atol=1e-12)
    assert torch.allclose(skip.float()(state.float()), torch.tensor(by_hand).float(), atol=1e-5)


def test_a_skip_gives_the_gradients_of_its_layers() -> None:
    torch.manual_seed(0)
    skip, state = Skip(6, 4, 1).double(), torch.randn(2, 6, 5, 7, dtype=torch.float64)
    found = torch.autograd.grad(skip(state).square().sum(), list(skip.parameters()))
    asked = torch.autograd.grad(skip.project(skip.norm(state)).square().sum(), list(skip.parameters()))
    for one, other in zip(found, asked, strict=True):
        torch.testing.assert_close(one, other)


def test_a_state_that_is_constant_gives_finite_values() -> None:
    assert Skip(3, 2, 1)(torch.full((1, 3, 4, 4), 7.0)).isfinite().all()


def test_a_decoder_with_pooled_states_has_no_finer_stage() -> None:
    states = [StateSpec(3, (32, 32)), StateSpec(5, (8, 8))]
    assert ImageDecoder(states, (64, 64), stride=4, pooled=True).sizes == [(8, 8), (16, 16)]
    assert ImageDecoder(states, (64, 64), stride=4).sizes == [(8, 8), (32, 32)]


@pytest.mark.parametrize("grid", [(31, 32), (17, 9), (64, 64)])
def test_pooled_states_of_any_size(grid: tuple[int, int]) -> None:
    decoder = ImageDecoder([StateSpec(3, grid), StateSpec(5, (4, 4))], (64, 64), stride=4, pooled=True)
    assert max(decoder.sizes[-1]) <= 16
    assert decoder([torch.randn(1, 3, *grid), torch.randn(1, 5, 4, 4)], (64, 64)).shape == (1, 1, 64, 64)


def test_a_training_of_an_earlier_version_keeps_its_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version gave every target the same decoder. Its folder is taken up, and not refused."""
    rows = [{"image": p, "label": i % 2} for i, p in enumerate(pictures(8))]
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 4, "label": "prediction", "on_collapse": "warn"}
    with monkeypatch.context() as earlier:
        earlier.setattr(decoder_cost, "CHEAPER", {})
        first = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "run", **settings)
    again = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "run", **settings)
    fresh = Explainer.fit(mobilenet(), rows, output_dir=tmp_path / "other", **settings)
    assert again.scorer.config == first.scorer.config != fresh.scorer.config
    for one, other in zip(
        first.scorer.state_dict().values(), again.scorer.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    restored = Explainer.from_pretrained(tmp_path / "other" / "scorer", fresh.target)
    np.testing.assert_array_equal(
        restored.explain(rows[0]["image"]).scores["image"], fresh.explain(rows[0]["image"]).scores["image"]
    )


def test_a_model_that_bears_no_counter_gets_the_usual_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(decoder_cost.FlopCounterMode):  # type: ignore[misc]
        def _count_flops(self, *_: Any) -> Any:
            raise NotImplementedError("a kernel of its own")

    monkeypatch.setattr(decoder_cost, "FlopCounterMode", Refusing)
    assert new_scorer(mobilenet(), pictures(1), ScorerConfig(by_class=True)).config.decoder == {}


@pytest.mark.parametrize("still", [False, True])
def test_layers_that_add_nothing_give_no_gates(still: bool) -> None:
    model = toy_models.seeded(lambda: toy_models.vit(num_labels=3, image_size=32, num_hidden_layers=4)).eval()
    options = {} if still else {"states": [2, 2, 2]}  # one state again and again is no change either
    for name, parameter in model.named_parameters() if still else ():
        late = any(f"layer.{i}." in name or f"layers.{i}." in name for i in (1, 2, 3))
        if late and any(part in name for part in ("output.dense", "o_proj", "fc2")):
            parameter.data.zero_()
    target = as_target(model, ImageTransform((32, 32)), **options)
    scorer = new_scorer(target, pictures(1, 32), ScorerConfig(by_class=True))
    assert "gates" not in scorer.config.decoder["image"]
    maps = scorer(target.encode(target.reader.read(pictures(2, 32)).inputs))
    assert float(maps["image"].flatten(1).std(1).min()) > 0
