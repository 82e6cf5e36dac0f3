"""Shares of an evaluation: any process, any order, the same parts; and little of them in memory."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from eval_toys import KnowsIds, RandomMaps, image_toy
from sidelight.core.processes import Share
from sidelight.errors import CheckpointError, ConfigError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.loop import Measurement, finish_parts, run_evaluation
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.evaluation.store import PartStore

SETTINGS = EvalSettings(fills=["zero", "one"], granularities=["pixel", "patch2"], steps=4)


class Batches:
    """Seven samples in batches of two, made when asked for."""

    def __init__(self, inputs: dict[str, torch.Tensor]) -> None:
        self.inputs, self.made = inputs, []

    def __len__(self) -> int:
        return 4

    def ids(self, index: int) -> list[int]:
        return list(range(7))[2 * index : 2 * index + 2]

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        self.made.append(index)
        ids = self.ids(index)
        return Batch({k: v[ids] for k, v in self.inputs.items()}, ids)


@pytest.fixture
def toy(tmp_path: Path) -> Measurement:
    target, inputs = image_toy(batch=7)
    methods = {"chance": RandomMaps(), "ids": KnowsIds()}
    return Measurement(target, Batches(inputs), methods, SETTINGS, tmp_path / "toy")


def test_shares_in_any_order_give_the_parts_of_one_process(toy, tmp_path: Path) -> None:
    one, three = (replace(toy, folder=tmp_path / name) for name in ("one", "three"))
    finish_parts(one, one.open_store(), progress=False)
    toy.batches.made.clear()
    store = three.open_store()
    for index in (2, 0, 1):
        torch.manual_seed(index)  # a process of its own has drawn other numbers
        finish_parts(three, store, share=Share(index, 3), progress=False)
        assert (store.missing(4) == []) == (index == 1)
    assert toy.batches.made == [2, 0, 3, 1]
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert len(files) == 1 + 2 * 4
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes(), name
    found = run_evaluation(three, progress=False).rows
    stored = pd.concat([pd.read_parquet(store.paths(i)[0]) for i in range(4)], ignore_index=True)
    pd.testing.assert_frame_equal(found, stored)


def test_what_is_there_is_not_even_loaded(toy) -> None:
    store = toy.open_store()
    finish_parts(toy, store, share=Share(0, 2), progress=False)
    toy.batches.made.clear()
    seen: list[float | None] = []

    def note(seconds: float | None) -> str:
        seen.append(seconds)
        return ""

    finish_parts(toy, store, on_batch=note, progress=False)
    assert toy.batches.made == [1, 3]
    assert [s is None for s in seen] == [True, False, True, False]


def test_finished_batches_leave_memory(toy, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, alive = [], []
    write = PartStore.write

    def watched(self: PartStore, index: int, rows: pd.DataFrame, curves: pd.DataFrame) -> None:
        kept.extend([weakref.ref(rows), weakref.ref(curves)])
        write(self, index, rows, curves)

    def note(seconds: float | None) -> str:
        gc.collect()
        alive.append(sum(ref() is not None for ref in kept))
        return ""

    monkeypatch.setattr(PartStore, "write", watched)
    store = toy.open_store()
    finish_parts(toy, store, on_batch=note, progress=False)
    assert len(kept) == 8
    assert alive == [0, 0, 0, 0]


def test_parts_that_do_not_belong_or_are_damaged(toy) -> None:
    store = toy.open_store()
    finish_parts(toy, store, progress=False)
    with pytest.raises(ConfigError, match="other samples"):
        store.holds(0, [5, 6])
    with pytest.raises(ConfigError, match="different methods"):
        replace(toy, methods={"ids": KnowsIds()}).open_store()
    curves = store.paths(3)[1]
    curves.write_bytes(curves.read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"part-00003\.parquet.*Delete both"):
        finish_parts(toy, store, progress=False)
