"""The text scorer: cheap, of any length, blind to padding."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sidelight.core.types import StateSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.text import Layer, TextDecoder
from sidelight.targets import TextTarget
from text_models import TEXTS, make_pair


def decoder(channels: tuple[int, ...] = (24,), **options: object) -> TextDecoder:
    torch.manual_seed(0)
    return TextDecoder([StateSpec(c) for c in channels], **{"width": 32, **options}).eval()


def states(batch: int, length: int, channels: int = 24) -> torch.Tensor:
    return torch.randn(batch, length, channels, generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("padded", [False, True])
def test_a_layer_is_torchs_own(padded: bool) -> None:
    torch.manual_seed(0)
    options = (12, 3, 20, 0.0, "gelu")
    theirs = torch.nn.TransformerEncoderLayer(*options, batch_first=True, norm_first=True).double()
    ours = Layer(*options, batch_first=True, norm_first=True).double()
    ours.load_state_dict(theirs.state_dict())
    seen = torch.ones(2, 6, dtype=torch.bool)
    seen[1, 4:] = not padded
    x = torch.randn(2, 6, 12, dtype=torch.float64)
    expected, found = theirs(x, src_key_padding_mask=~seen), ours(x, seen if padded else None)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for net, out in ((theirs, expected), (ours, found)):
        (out * seen.unsqueeze(-1)).square().sum().backward()
        assert all(p.grad is not None for p in net.parameters())
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str, grad: bool) -> None:
    net = decoder((24, 24))
    short = states(2, 7)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[:, [0, -1]] = False  # special tokens: looked at, not scored
    pad = (3, 0) if side == "left" else (0, 3)
    long = torch.nn.functional.pad(short, (0, 0, *pad))
    long_mask = torch.nn.functional.pad(mask, pad)
    attended = torch.nn.functional.pad(torch.ones(2, 7), pad)
    real = slice(3, None) if side == "left" else slice(0, 7)
    junk = long.clone()
    junk[attended == 0] = 1e3
    with torch.set_grad_enabled(grad):
        expected = net((short, short), mask)
        torch.testing.assert_close(net((long, long), long_mask)[:, real], expected, atol=1e-5, rtol=1e-5)
        masked = net((junk, junk), long_mask, attended)
    torch.testing.assert_close(masked[:, real], expected, atol=1e-5, rtol=1e-5)
    assert (masked[attended == 0] == 0).all()


def test_special_tokens_are_looked_at() -> None:
    net = decoder()
    x = states(1, 6)
    mask = torch.tensor([[False, True, True, True, True, False]])
    changed = x.clone()
    changed[:, 0] = -changed[:, 0]
    assert not torch.allclose(net((x,), mask)[mask], net((changed,), mask)[mask])
    torch.testing.assert_close(net((x,), mask, mask)[mask], net((changed,), mask, mask)[mask])


def test_any_length() -> None:
    net = decoder()
    for length in (1, 17, 700):
        out = net((states(2, length),), torch.ones(2, length, dtype=torch.bool))
        assert out.shape == (2, length)
        assert torch.isfinite(out).all()


def test_conditioning() -> None:
    net = decoder(cond_dim=5)
    x, mask = states(2, 6), torch.ones(2, 6, dtype=torch.bool)
    a, b = (net((x,), mask, fusion=torch.full((2, 5), v)) for v in (0.0, 1.0))
    assert not torch.allclose(a, b)


def test_gradients_reach_every_parameter() -> None:
    net = decoder((24, 24), cond_dim=5).train()
    x, mask = states(2, 6), torch.ones(2, 6, dtype=torch.bool)
    weights = torch.linspace(-1, 1, 12).view(2, 6)
    (net((x, x), mask, fusion=torch.ones(2, 5)) * weights).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize(
    ("channels", "options", "match"),
    [
        ((), {}, "at least one state"),
        ((24,), {"heads": 5}, "multiple of heads"),
        ((24,), {"layers": -1}, "not negative"),
    ],
)
def test_bad_options(channels: tuple[int, ...], options: dict, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        decoder(channels, **options)


def test_another_number_of_states() -> None:
    with pytest.raises(InputError, match=r"reads 1 state\(s\); got 2"):
        decoder()((states(1, 3),) * 2, torch.ones(1, 3, dtype=torch.bool))


@pytest.mark.parametrize("length", [128, 512])
def test_costs_at_most_five_per_cent_of_a_base_encoder(length: int) -> None:
    net = TextDecoder([StateSpec(768), StateSpec(768)])
    # The fast path of evaluation hides its matrix products from the counter.
    net.train()
    with FlopCounterMode(display=False) as counter:
        net((states(1, length, 768),) * 2, torch.ones(1, length, dtype=torch.bool))
    layer = 12 * 768 * 768 + 2 * length * 768  # multiply-adds per token of one base-size layer
    share = counter.get_total_flops() / (2 * 12 * layer * length)
    assert share < 0.05


@pytest.mark.parametrize("family", ["bert", "deberta-v3", "gpt2"])
def test_scorer_beside_a_target(family: str) -> None:
    model, tokenizer = make_pair(family)
    target = TextTarget(model, tokenizer, layers=[1, -1])
    inputs = target.reader.read(TEXTS).inputs
    torch.manual_seed(0)
    scorer = Scorer(target.spec(inputs), ScorerConfig(decoder={"text": {"width": 16, "heads": 2}})).eval()
    encoding = target.encode(inputs)
    scores = scorer(encoding)["text"]
    real = encoding.feature_mask["text"]
    assert scores.shape == real.shape
    assert (scores[~real] == 1).all()
    assert scores[real].min() >= 0
    assert scores[real].max() <= 1
    for i, text in enumerate(TEXTS):
        alone = target.encode(target.reader.read([text]).inputs)
        expected = scorer(alone)["text"][alone.feature_mask["text"]]
        torch.testing.assert_close(scores[i][real[i]], expected, atol=1e-4, rtol=1e-4)


def test_unknown_scorer_option() -> None:
    model, tokenizer = make_pair("bert")
    target = TextTarget(model, tokenizer)
    with pytest.raises(ConfigError, match="widht"):
        Scorer(target.spec(target.reader.read(TEXTS).inputs), ScorerConfig(decoder={"text": {"widht": 16}}))


def test_relu_never_swallows_a_whole_text() -> None:
    # With an offset of its own, training drove 94 % of short texts' maps below the ReLU.
    net = decoder()
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, 6:] = False
    raw = net((states(2, 9),), mask)
    means = (raw * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(means, torch.zeros(2), atol=1e-6, rtol=0)
    assert ((raw > 0) & mask).any(1).all()
