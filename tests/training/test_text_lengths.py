"""Batches of like length: a permutation, repeatable, with less padding."""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sidelight import Explainer
from sidelight.inputs.collate import Collator
from sidelight.inputs.view import TruncationWarning
from sidelight.targets import ImageTarget, TextTarget
from sidelight.training.lengths import LengthSampler, row_lengths
from sidelight.training.settings import ObjectiveConfig, TrainingConfig
from sidelight.training.trainer import BaseTrainer
from text_models import make_pair
from tiny_models import tiny


@given(st.lists(st.integers(1, 99), min_size=1, max_size=80), st.integers(1, 7), st.integers(0, 5))
def test_every_row_comes_once_and_epochs_differ_by_seed_alone(
    lengths: list[int], size: int, seed: int
) -> None:
    sampler = LengthSampler(lengths, size, seed)
    first = list(sampler)
    assert sorted(first) == list(range(len(lengths)))
    assert first == list(LengthSampler(lengths, size, seed))
    sampler.set_epoch(1)
    assert sorted(sampler) == list(range(len(lengths)))


def test_batches_are_padded_less_and_come_in_another_order_each_epoch() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 100) for _ in range(640)]
    sampler = LengthSampler(lengths, 16)
    orders = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        loader = DataLoader(range(640), batch_size=16, sampler=sampler)  # type: ignore[arg-type]
        batches = [b.tolist() for b in loader]
        padded = sum(16 * max(lengths[i] for i in b) for b in batches)
        assert padded < 1.1 * sum(lengths)  # a plain shuffle pads to about 1.9 times
        orders.append(batches)
    assert orders[0] != orders[1]
    means = [sum(lengths[i] for i in b) for b in orders[0]]
    assert means != sorted(means)  # short ones do not all come first


def test_lengths_are_asked_of_texts_only() -> None:
    model, tokenizer = make_pair("bert")
    rows = [{"text": "ab", "label": 0}, ("abcd", 1), {"premise": "a", "hypothesis": "bcd"}]
    target = TextTarget(model, tokenizer)
    assert row_lengths(target, rows[:2]) == [2, 4]
    assert row_lengths(target, rows[2:]) == [4]
    ready = [{"input_ids": torch.ones(3, dtype=torch.long)}]
    assert row_lengths(target, ready) is None
    image = ImageTarget(tiny("vit"))

    class Untouched:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> object:
            pytest.fail("images are not to be loaded for their length")

    assert row_lengths(image, Untouched()) is None


def test_a_killed_text_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    model, tokenizer = make_pair("bert")
    rng = random.Random(0)
    rows = [
        {"text": " ".join(rng.choices(["good", "bad", "film", "the"], k=rng.randint(1, 9)))}
        for _ in range(48)
    ]

    def fit(folder: Path, epochs: float) -> dict[str, torch.Tensor]:
        explainer = Explainer.fit(
            model,
            rows,
            eval=rows[:8],
            processor=tokenizer,
            objective=ObjectiveConfig(label="prediction", fills=["random"]),
            training=TrainingConfig(
                epochs=epochs, batch_size=4, on_collapse="warn", checkpoints=50, patience=0
            ),
            output_dir=folder,
        )
        return explainer.scorer.state_dict()

    whole = fit(tmp_path, 2)
    steps = sorted(tmp_path.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    assert len(steps) > 2
    for later in steps[2:]:  # as if killed in the second epoch's middle
        shutil.rmtree(later)
    again = fit(tmp_path, 2)
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_a_warning_is_given_once_for_many_batches() -> None:
    model, tokenizer = make_pair("bert")
    collate = Collator(TextTarget(model, tokenizer, max_length=4))
    rows = [{"text": "good " * 9}]
    with pytest.warns(TruncationWarning):
        collate(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collate(rows)


@pytest.mark.parametrize(("given", "taken"), [(0, 0), (7, 7), (None, 5)])
def test_a_seed_of_the_data_of_0_is_a_seed(given: int | None, taken: int) -> None:
    args = SimpleNamespace(
        train_batch_size=2, gradient_accumulation_steps=1, world_size=1, data_seed=given, seed=5
    )
    trainer: Any = SimpleNamespace(lengths=[1, 2, 3], args=args)
    assert BaseTrainer._get_train_sampler(trainer).seed == taken
