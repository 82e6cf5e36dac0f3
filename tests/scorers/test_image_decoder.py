"""The image decoder: any grids and sizes, few parameters, sub-patch content in its place."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sidelight.core.types import Encoding, StateSpec, TargetSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.base import spec_from_dict, spec_to_dict
from sidelight.scorers.image import ImageDecoder, Skip, assign_skips, cell_means, stage_sizes
from sidelight.targets.image import ImageTarget
from tiny_models import SIZE, pixels, tiny

Grid = tuple[int, int]


def states_for(specs: list[StateSpec], batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, s.channels, *(s.grid or (1, 1)), generator=generator) for s in specs]


@pytest.mark.parametrize(
    ("grids", "size"),
    [
        ([(4, 4)] * 4, (32, 32)),
        ([(4, 6)] * 4, (32, 48)),
        ([(7, 7)] * 3, (51, 50)),
        ([(16, 16)] * 4, (224, 224)),
        ([(9, 13), (5, 7), (3, 4)], (35, 51)),
        ([(56, 28), (28, 14), (14, 7), (7, 4)], (224, 112)),
        ([(8, 8), (4, 4), (4, 4), (2, 2), (2, 2)], (16, 16)),
        ([(28, 28)], (28, 28)),
        ([(1, 1)], (8, 8)),
        ([(4, 16)] * 2, (64, 64)),
        ([(40, 40), (20, 20)], (32, 32)),
    ],
)
def test_any_resolutions_give_one_finite_score_per_pixel(grids: list[Grid], size: Grid) -> None:
    specs = [StateSpec(5 + i, g) for i, g in enumerate(grids)]
    decoder = ImageDecoder(specs, size, channels=(8, 4))
    raw = decoder(states_for(specs), size)
    assert raw.shape == (2, 1, *size)
    assert bool(torch.isfinite(raw).all())
    raw.square().sum().backward()
    idle = [n for n, p in decoder.named_parameters() if p.grad is None]
    assert idle == []


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    strides=st.lists(st.sampled_from([2, 3, 4, 7, 8]), min_size=1, max_size=4),
    channels=st.lists(st.integers(1, 9), min_size=1, max_size=3),
)
def test_odd_sizes_and_widths(height: int, width: int, strides: list[int], channels: list[int]) -> None:
    specs = [StateSpec(3, (-(-height // s), -(-width // s))) for s in sorted(strides)]
    decoder = ImageDecoder(specs, (height, width), channels, padding="replicate")
    raw = decoder(states_for(specs, 1), (height, width))
    assert raw.shape == (1, 1, height, width)
    # if every sub-patch is projected alike, states that are the same everywhere give scores that are too
    for skip in decoder.skips:
        parts = skip.factor**2
        for values in (skip.project.weight.data, skip.project.bias.data):
            values.copy_(values[::parts].repeat_interleave(parts, 0))
    states = [state[..., :1, :1].expand_as(state).double() for state in states_for(specs, 1)]
    even = decoder.double()(states, (height, width))  # norms of equal values make much of rounding
    torch.testing.assert_close(even, even[..., :1, :1].expand_as(even), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("width", [1, 4])
def test_one_sample_of_one_cell(width: int) -> None:
    specs = [StateSpec(3, (1, 1))]
    raw = ImageDecoder(specs, (8, 8), [width])(states_for(specs, 1), (8, 8))
    assert raw.shape == (1, 1, 8, 8)
    assert bool(raw.isfinite().all())


def test_an_unfolded_state_never_outgrows_its_stage() -> None:
    specs = [StateSpec(3, (4, 16))] * 4
    decoder = ImageDecoder(specs, (64, 64), (4,))
    for skip, stage, state in zip(decoder.skips, decoder.joins, states_for(specs), strict=True):
        assert all(a <= b for a, b in zip(skip(state).shape[-2:], decoder.sizes[stage], strict=True))


def test_stage_sizes_double_up_to_the_stride() -> None:
    assert stage_sizes([(14, 14)] * 4, (224, 224)) == [(14, 14), (28, 28), (56, 56), (112, 112)]
    assert stage_sizes([(14, 14)] * 4, (224, 224), stride=1)[-1] == (224, 224)
    assert stage_sizes([(7, 7)], (28, 28)) == [(7, 7), (14, 14), (28, 28)]
    assert stage_sizes([(7, 7)], (25, 25)) == [(7, 7), (14, 14), (25, 25)]
    assert stage_sizes([(28, 28), (14, 14), (7, 7)], (224, 224))[:3] == [(7, 7), (14, 14), (28, 28)]


def test_skips_join_their_own_resolution_or_spread_over_a_shared_grid() -> None:
    pyramid = [(28, 28), (14, 14), (7, 7)]
    assert assign_skips(pyramid, stage_sizes(pyramid, (56, 56))) == [2, 1, 0]
    shared = [(14, 14)] * 4
    assert assign_skips(shared, stage_sizes(shared, (224, 224))) == [3, 2, 1, 0]
    assert assign_skips([(7, 7)] * 4, [(7, 7), (14, 14)]) == [1, 1, 1, 0]


@pytest.mark.parametrize("size", [(224, 224), (384, 384)])
def test_the_scorer_of_a_vit_b_16_is_small(size: Grid) -> None:
    grid = (size[0] // 16, size[1] // 16)
    spec = TargetSpec({"image": tuple(StateSpec(768, grid) for _ in range(4))}, {"image": (3, *size)})
    scorer = Scorer(spec)
    assert scorer.num_parameters == sum(p.numel() for p in scorer.parameters())
    assert scorer.num_parameters <= 3_000_000


def test_a_skip_puts_each_sub_patch_value_where_pixel_shuffle_has_it() -> None:
    skip = Skip(channels=3, width=2, factor=4)
    state = torch.randn(1, 3, 2, 3)
    projected = skip.project(skip.norm(state))
    placed = skip(state)
    assert placed.shape == (1, 2, 8, 12)
    for channel in range(2):
        for row in range(8):
            for column in range(12):
                source = channel * 16 + (row % 4) * 4 + column % 4
                expected = projected[0, source, row // 4, column // 4]
                torch.testing.assert_close(placed[0, channel, row, column], expected)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("pool", [1, 2])
def test_a_skip_is_pool_norm_projection_and_pixel_shuffle(factor: int, pool: int) -> None:
    torch.manual_seed(0)
    skip = Skip(5, 3, factor, pool).double()
    for parameter in skip.parameters():
        parameter.data.normal_()
    first = torch.randn(2, 5, 7, 4, dtype=torch.float64) + 0.5
    pooled = F.avg_pool2d(first, pool, ceil_mode=True)
    expected = F.pixel_shuffle(skip.project(skip.norm(pooled)), factor)
    last = first.contiguous(memory_format=torch.channels_last)
    for state in (first, last):  # as convolutional networks and transformers lay out their states
        torch.testing.assert_close(skip(state), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_means_of_cells_that_the_border_cuts(side: int) -> None:
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    expected = F.avg_pool2d(x, side, ceil_mode=True)
    torch.testing.assert_close(cell_means(x, side), expected, rtol=1e-12, atol=1e-12)


def test_a_change_in_one_cell_moves_the_map_around_that_cell_most() -> None:
    torch.manual_seed(0)
    specs = [StateSpec(6, (4, 6))] * 4
    decoder = ImageDecoder(specs, SIZE, (8, 8))
    states = states_for(specs, 1)
    for row, column in [(0, 0), (0, 5), (3, 0), (3, 5), (1, 2)]:
        changed = [s.clone() for s in states]
        for s in changed:
            s[..., row, column] = -s[..., row, column]
        with torch.no_grad():
            moved = (decoder(changed, SIZE) - decoder(states, SIZE)).abs()[0, 0]
        cells = torch.nn.functional.avg_pool2d(moved[None, None], 8)[0, 0]
        assert divmod(int(cells.argmax()), 6) == (row, column)


def test_fusion_moves_the_map_and_is_per_sample() -> None:
    torch.manual_seed(0)
    specs = [StateSpec(4, (4, 4))]
    decoder = ImageDecoder(specs, (8, 8), (8,), cond_dim=3)
    states = states_for(specs)
    one, two = torch.zeros(2, 3), torch.zeros(2, 3)
    two[1] = 5.0
    first, second = decoder(states, (8, 8), one), decoder(states, (8, 8), two)
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1])


def test_maps_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    specs = [StateSpec(6, (4, 6))] * 3
    decoder, states = ImageDecoder(specs, SIZE, (8, 4)).eval(), states_for(specs, 3)
    together = decoder(states, SIZE)
    alone = decoder([s[1:2] for s in states], SIZE)
    torch.testing.assert_close(alone[0], together[1], rtol=1e-5, atol=1e-6)


def test_the_border_looks_like_any_other_place_to_a_decoder_that_replicates_it() -> None:
    specs = [StateSpec(6, (4, 4)), StateSpec(4, (8, 8))]
    # in double precision, because the norms of even states are of rounding alone, which some processors make larger
    flat = [torch.arange(s.channels).double().view(1, -1, 1, 1).expand(1, -1, *(s.grid or ())) for s in specs]
    torch.manual_seed(0)
    even = ImageDecoder(specs, (16, 16), (8, 4), padding="replicate").double()(flat, (16, 16))
    torch.testing.assert_close(even, even[..., :1, :1].expand_as(even))
    uneven = ImageDecoder(specs, (16, 16), (8, 4)).double()(flat, (16, 16))
    assert (uneven.amax() - uneven.amin()).item() > 1e-3


def test_bad_options_are_config_errors() -> None:
    good = [StateSpec(4, (4, 4))]
    for channels in ([], [8, 0]):
        with pytest.raises(ConfigError, match="channels must be positive"):
            ImageDecoder(good, (8, 8), channels)
    for specs in ([], [StateSpec(4)]):
        with pytest.raises(ConfigError, match="at least one state with a grid"):
            ImageDecoder(specs, (8, 8))
    for stride in (0, -1):
        with pytest.raises(ConfigError, match="stride must be"):
            ImageDecoder(good, (8, 8), stride=stride)
    with pytest.raises(ConfigError, match="padding must be one of zeros, replicate; got 'reflct'"):
        ImageDecoder(good, (8, 8), padding="reflct")  # type: ignore[arg-type]
    spec = TargetSpec({"image": tuple(good)}, {"image": (3, 8, 8)})
    with pytest.raises(ConfigError, match="depth"):
        Scorer(spec, ScorerConfig(decoder={"image": {"depth": 3}}))
    with pytest.raises(ConfigError, match="Did you mean 'image'"):
        Scorer(spec, ScorerConfig(decoder={"images": {}}))


def test_a_scorer_follows_its_target_and_survives_a_round_trip() -> None:
    for family in ("vit", "mobilenet_v2"):
        target, x = ImageTarget(tiny(family)), {"pixel_values": pixels()}
        spec = target.spec(x)
        assert spec_from_dict(spec_to_dict(spec)) == spec
        torch.manual_seed(0)
        scorer = Scorer(spec, ScorerConfig(decoder={"image": {"channels": [8, 4], "stride": 2}}))
        scores = scorer(target.encode(x))["image"]
        assert scores.shape == (2, 1, *SIZE)
        assert float(scores.detach().amin()) == 0.0
        assert float(scores.amax()) == 1.0
    empty = Encoding(torch.zeros(1, 2), {}, {})
    with pytest.raises(InputError, match=r"no states of \['image'\]"):
        scorer(empty)


GRIDS = [[(7, 7)] * 4, [(16, 16)] * 3, [(9, 13), (5, 7), (3, 4)], [(1, 1)], [(40, 40), (20, 20)]]


@pytest.mark.parametrize("grids", GRIDS)
@pytest.mark.parametrize(("stride", "pooled"), [(1, False), (4, True)])
def test_a_decoder_that_unfolds_at_once_fits_any_resolutions(
    grids: list[Grid], stride: int, pooled: bool
) -> None:
    specs, size = [StateSpec(5 + i, g) for i, g in enumerate(grids)], (51, 50)
    decoder = ImageDecoder(specs, size, (8, 4), stride=stride, pooled=pooled, classes=3, direct=True)
    raw = decoder(states_for(specs), size, None, torch.tensor([[0, 2], [1, 1]]))
    assert raw.shape == (2, 2, 3, *size)
    assert bool(raw.isfinite().all())
    raw.square().sum().backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None] == []


def test_states_of_one_grid_go_to_the_last_stage_at_once() -> None:
    specs = [StateSpec(6, (7, 7))] * 3
    decoder = ImageDecoder(specs, (28, 28), direct=True)
    assert decoder.sizes == [(7, 7), (28, 28)]
    assert [skip.factor for skip in decoder.skips] == [4, 4, 1]  # type: ignore[union-attr]
    assert ImageDecoder([StateSpec(6, (7, 7)), StateSpec(6, (14, 14))], (28, 28), direct=True).sizes == [
        (7, 7),
        (14, 14),
        (28, 28),
    ]
