"""Orders, ties, steps, cells and the readings of a signed map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidelight.core.tensors import step_counts
from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.lab.metrics.granularity import Granularity, finest, granularity, patch_cells, resolve
from sidelight.lab.metrics.layout import make_layout, reduce_map, require_scores
from sidelight.lab.metrics.ranking import area_counts, has_ties, ranks, ranks_of_draws, tie_keys

few = settings(max_examples=40, deadline=None)


def all_real(values: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(values, dtype=torch.bool)


@few
@given(st.integers(1, 40), st.integers(0, 1000))
def test_ranks_of_distinct_scores_are_those_of_a_sort(n: int, seed: int) -> None:
    values = torch.from_numpy(np.random.default_rng(seed).permutation(n).astype(np.float32))[None]
    assert ranks(values, all_real(values), [seed])[0].tolist() == [n - 1 - int(v) for v in values[0]]


def test_ties_follow_the_sample_and_not_the_index_the_batch_or_the_padding() -> None:
    flat = torch.zeros(3, 6)
    real = all_real(flat)
    together = ranks(flat, real, [7, 8, 9], seed=3)
    assert len({tuple(r) for r in together.tolist()}) > 1
    assert torch.equal(ranks(flat[1:2], real[1:2], [8], seed=3), together[1:2])
    assert not torch.equal(ranks(flat, real, [7, 8, 9], seed=4), together)
    assert not torch.equal(ranks(flat, real, [7, 8, 9], seed=3, draw=1), together)
    padded = torch.cat([flat, torch.full((3, 4), 9.0)], 1)
    padded_real = torch.cat([real, torch.zeros(3, 4, dtype=torch.bool)], 1)
    assert torch.equal(ranks(padded, padded_real, [7, 8, 9], seed=3)[:, :6], together)


def test_every_feature_of_a_tie_is_first_equally_often() -> None:
    values = torch.tensor([[0.0, 1.0, 1.0, 1.0]]).expand(900, 4)
    place = ranks(values, all_real(values), range(900))
    first = (place == 0).sum(0).tolist()
    assert first[0] == 0
    assert all(240 < count < 360 for count in first[1:])


def test_ties_need_an_id_per_sample() -> None:
    with pytest.raises(InputError, match="one number for each sample"):
        tie_keys(torch.ones(2, 3, dtype=torch.bool), [1])


def test_an_order_a_draw_where_features_are_tied_and_one_otherwise() -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(4, 9, generator=generator)
    real = torch.arange(9).expand(4, 9) < torch.tensor([9, 5, 1, 7])[:, None]
    (only,) = ranks_of_draws(values, real, range(4), seed=1, draws=3)
    assert torch.equal(only[real], ranks(values, real, range(4), seed=1)[real])
    tied = values.round()
    found = ranks_of_draws(tied, real, range(4), seed=1, draws=3)
    assert [torch.equal(o, ranks(tied, real, range(4), 1, d)) for d, o in enumerate(found)] == [True] * 3


def test_has_ties_looks_at_real_features_only() -> None:
    values = torch.tensor([[1.0, 2.0, 2.0]])
    assert has_ties(values, all_real(values))
    assert not has_ties(values, torch.tensor([[True, True, False]]))


@few
@given(st.lists(st.integers(1, 500), min_size=1, max_size=4), st.integers(1, 50))
def test_steps_are_equal_up_to_rounding(sizes: list[int], steps: int) -> None:
    counts = step_counts(torch.tensor(sizes), steps)
    assert counts[:, 0].tolist() == [0] * len(sizes)
    assert counts[:, -1].tolist() == sizes
    exact = np.arange(steps + 1)[None] * np.array(sizes)[:, None] / steps
    assert np.abs(counts.numpy() - exact).max() <= 0.5


def test_areas_take_at_least_one_feature() -> None:
    assert area_counts(torch.tensor([5, 100, 784]), (0.01, 0.05, 0.5)).tolist() == [
        [1, 1, 3],
        [1, 5, 50],
        [8, 39, 392],
    ]


def test_patch_cells_handle_partial_cells_at_the_border() -> None:
    cells = patch_cells((1, 1, 3, 5), 2).view(3, 5)
    assert cells.tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_granularity_by_name() -> None:
    assert granularity("patch16").modality == "image"
    assert granularity("token").modality == "text"
    assert finest("sound").name == "unit"
    for name in ("patch", "patch0", "pixels"):
        with pytest.raises(UnknownNameError, match="patch4"):
            granularity(name)


def test_resolve_fills_in_the_finest_and_leaves_out_what_does_not_apply() -> None:
    assert list(resolve(["pixel", "patch4"], ["image"])) == ["pixel", "patch4"]
    assert list(resolve(["pixel", "patch4"], ["text"])) == ["token"]
    assert list(resolve(["pixel", "patch4", "token"], ["image", "text"])) == ["pixel+token", "patch4+token"]
    with pytest.raises(ConfigError, match="twice"):
        resolve(["patch2+patch4"], ["image"])


def test_pooling_keeps_the_sign_and_positive_orders_by_it() -> None:
    raw = torch.tensor([[4.0, -2.0, -3.0, -1.0, 2.0, 0.0]]).view(1, 1, 1, 6)
    mask = {"image": all_real(raw)}
    layout = make_layout(mask, {"image": granularity("patch2")}, {})
    readings = reduce_map(layout.flatten({"image": raw}), layout, signed=True)
    assert readings["abs"].order.tolist() == [[3, 2, 1]]
    assert readings["abs"].soft.tolist() == [[1, 0.5, 0]]
    assert readings["positive"].order.tolist() == [[1, -2, 1]]
    assert readings["positive"].soft.tolist() == [[1, 0, 1]]
    assert list(reduce_map(raw.flatten(1), layout, signed=False)) == ["none"]


def test_features_against_the_class_are_ranked_not_tied() -> None:
    raw = torch.tensor([[-3.0, -1.0, 2.0]])
    layout = make_layout({"text": all_real(raw)}, {"text": granularity("token")}, {})
    positive = reduce_map(raw, layout, signed=True)["positive"]
    assert positive.soft.tolist() == [[0, 0, 1]]
    assert ranks(positive.order, layout.real_cells, [0]).tolist() == [[2, 1, 0]]


def test_equal_pixels_tie_in_cells_of_any_size() -> None:
    raw = torch.full((1, 1, 7, 7), 0.1)
    layout = make_layout({"image": all_real(raw)}, {"image": granularity("patch3")}, {})
    assert layout.size[0].tolist() == [9, 9, 3, 9, 9, 3, 3, 3, 1]
    assert len(layout.pool(raw.flatten(1)).unique()) == 1


def test_unreal_features_do_not_enter_a_cell() -> None:
    raw = torch.tensor([[1.0, 99.0, 3.0, 5.0]])
    real = torch.tensor([[True, False, True, True]])
    words = Granularity("word", "text", lambda shape, inputs: inputs["words"])
    layout = make_layout({"text": real}, {"text": words}, {"words": torch.tensor([[0, 0, 1, 1]])})
    assert layout.pool(raw).tolist() == [[1, 4]]
    assert layout.size.tolist() == [[1, 2]]


def test_modalities_are_laid_out_together_and_come_back_apart() -> None:
    scores = {"image": torch.rand(2, 1, 3, 4), "text": torch.rand(2, 5)}
    plan = next(iter(resolve(["patch2"], scores).values()))
    layout = make_layout({k: all_real(v) for k, v in scores.items()}, plan, {})
    assert layout.size.shape == (2, 2 * 2 + 5)
    back = layout.unflatten(layout.flatten(scores))
    assert all(torch.equal(back[name], scores[name]) for name in scores)


def test_scores_that_cannot_be_used_are_refused() -> None:
    mask = {"text": torch.tensor([[True, False]])}
    require_scores({"text": torch.tensor([[1.0, float("nan")]])}, mask, ("text",))  # padding may be anything
    with pytest.raises(InputError, match="no scores for modality 'text'"):
        require_scores({}, mask, ("text",))
    with pytest.raises(InputError, match=r"shape \(1, 2\); got \(1, 2, 3\)"):
        require_scores({"text": torch.zeros(1, 2, 3)}, mask, ("text",))
    with pytest.raises(InputError, match=r"NaN.*row\(s\) \[0\]"):
        require_scores({"text": torch.tensor([[float("nan"), 1.0]])}, mask, ("text",))
