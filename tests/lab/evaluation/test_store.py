"""Merging finished parts: the same tables as from memory, whatever is held at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sidelight.errors import CheckpointError
from sidelight.lab.evaluation.run import as_categories
from sidelight.lab.evaluation.store import (
    categories,
    filled,
    mean_curves_of,
    merge_seeds,
    split_seed,
    summarise_parts,
    write_scores,
)
from sidelight.lab.metrics.statistics import mean_curves, summarise

METHODS = (
    ("sidelight#0", "none"),
    ("sidelight#1", "none"),
    ("ig", "abs"),
    ("ig", "positive"),
    ("random", "none"),
)


def case(method: str, reduction: str, fill: str) -> dict[str, str]:
    return {
        "modality": "image",
        "method": method,
        "reduction": reduction,
        "granularity": "pixel",
        "fill": fill,
    }


@pytest.fixture
def parts(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Three batches as an evaluation stores them: rows and curves; the last lacks a method."""
    rng = np.random.default_rng(0)
    rows_files, curve_files = [], []
    for number, ids in enumerate(([4, 0, 2], [1, 3], [5])):
        rows, curves = [], []
        for method, reduction in METHODS[: 4 if number == 2 else 5]:
            for fill, metric in (("zero", "average_drop"), ("noise", "average_drop"), ("none", "sparsity")):
                values = rng.random(len(ids))
                rows += [
                    {"sample": i, **case(method, reduction, fill), "metric": metric, "value": v}
                    for i, v in zip(ids, values, strict=True)
                ]
            curves += [
                {"sample": i, **case(method, reduction, "zero"), "kind": kind, "p": rng.random(4).tolist()}
                for kind in ("deletion", "insertion")
                for i in ids
            ]
        rows_files.append(tmp_path / f"rows-{number}.parquet")
        curve_files.append(tmp_path / f"curves-{number}.parquet")
        pd.DataFrame(rows).to_parquet(rows_files[-1], index=False)
        pd.DataFrame(curves).to_parquet(curve_files[-1], index=False)
    return rows_files, curve_files


def whole(files: list[Path]) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(f) for f in files], ignore_index=True)


@pytest.mark.parametrize("group", [1, 40, 10**6])
def test_scores_are_those_of_all_parts_in_order(
    group: int, parts: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    rows, out = parts[0], tmp_path / "scores.parquet"
    write_scores(rows, out, group=group)
    pd.testing.assert_frame_equal(pd.read_parquet(out), as_categories(split_seed(whole(rows))))
    assert pq.read_metadata(out).num_row_groups == {1: 3, 40: 2, 10**6: 1}[group]
    assert not list(tmp_path.glob(".*"))


def test_the_same_parts_give_the_same_bytes(parts: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_scores(parts[0], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("limit", [1, 60, 10**6])
def test_means_do_not_depend_on_what_is_held(limit: int, parts: tuple[list[Path], list[Path]]) -> None:
    rows, curves = parts
    expected = summarise(split_seed(whole(rows)), dataset="toy")
    pd.testing.assert_frame_equal(summarise_parts(rows, "toy", limit=limit), expected)
    own = expected[(expected.method == "sidelight") & (expected.fill == "noise")]
    values = split_seed(whole(rows)).query("method == 'sidelight' and fill == 'noise'")
    assert own["seeds"].tolist() == [2]
    assert own["mean"].item() == pytest.approx(values["value"].mean(), abs=1e-12)
    assert own["n"].item() == 6
    pd.testing.assert_frame_equal(
        mean_curves_of(curves, seed=3, limit=limit), mean_curves(whole(curves), seed=3)
    )


def test_curves_of_several_seeds_become_their_mean(parts: tuple[list[Path], list[Path]]) -> None:
    found = merge_seeds(mean_curves_of(parts[1], seed=0))
    assert set(found["method"]) == {"sidelight", "ig", "random"}
    frame = whole(parts[1])
    points = np.stack(
        frame[frame.method.str.startswith("sidelight") & (frame.kind == "deletion")]["p"].tolist()
    )
    own = found[(found.method == "sidelight") & (found.kind == "deletion")]
    np.testing.assert_allclose(own["mean"], points.mean(0), atol=1e-12)


def test_categories_lose_the_seed(parts: tuple[list[Path], list[Path]]) -> None:
    found = categories(parts[0])
    assert found["method"] == ["ig", "random", "sidelight"]
    assert found["fill"] == ["noise", "none", "zero"]


def test_parts_without_rows_are_left_out(parts: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    pd.DataFrame(columns=["sample"]).to_parquet(empty, index=False)
    assert filled([empty, *parts[0]]) == parts[0]
    assert mean_curves_of([empty], seed=0).empty


def test_a_damaged_part_is_named(parts: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    victim = parts[0][1]
    victim.write_bytes(victim.read_bytes()[:80])
    for action in (
        lambda: filled(parts[0]),
        lambda: categories(parts[0]),
        lambda: summarise_parts(parts[0], "toy"),
        lambda: write_scores(parts[0], tmp_path / "scores.parquet"),
    ):
        with pytest.raises(CheckpointError, match=r"rows-1\.parquet"):
            action()
    assert not (tmp_path / "scores.parquet").exists()
