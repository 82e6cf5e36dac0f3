"""Whatever is given to a public function, only errors of our own family come out.

Each call starts from arguments that work. Some of them are then replaced by odd values. The call must end within
ten seconds, and nothing may be written outside the folder of the call.
"""

from __future__ import annotations

import datetime
import io
import math
import os
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok
from hypothesis import HealthCheck, given, settings
from PIL import Image
from time_limits import within

import sidelight
from sidelight import (
    Explainer,
    Explanation,
    ImageTransform,
    ObjectiveConfig,
    ScorerConfig,
    SidelightError,
    TrainingConfig,
)
from sidelight.targets import as_target
from sidelight.training.network import new_scorer

SECONDS = 10


class Odd:
    """An object that has nothing."""


class Hostile:
    """An object whose every question is an error."""

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __repr__(self) -> str:
        return "<hostile>"


def _tensors() -> list[Any]:
    return [
        torch.zeros(0),
        torch.zeros(3),
        torch.zeros(2, 3, 32, 32),
        torch.full((2, 3, 32, 32), math.nan),
        torch.zeros(1, 3, 32, 32, dtype=torch.complex64),
        torch.zeros(1, 3, 1, 1),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(3, 32, 32, dtype=torch.long),
        torch.zeros(2, 3, 32, 32).to_sparse(),
        torch.zeros(2, 3, 32, 32, device="meta"),
        torch.zeros((), dtype=torch.bool),
        torch.ones(2, 5, dtype=torch.long),
        torch.full((1, 4), 10**6),
        torch.full((1, 4), -1),
    ]


def _arrays() -> list[Any]:
    return [
        np.zeros(0),
        np.zeros((4, 4)),
        np.zeros((4, 4, 3), dtype=np.uint8),
        np.zeros((4, 4, 7), dtype=np.uint8),
        np.array(["a", "b"]),
        np.array([None, 1], dtype=object),
        np.full((2, 2), np.nan),
        np.zeros((2, 2), dtype=np.complex64),
    ]


def odd_values() -> list[Any]:
    """Wrong types, shapes, dtypes, empty and huge values; made anew for each call."""
    plain: list[Any] = [
        None,
        True,
        False,
        0,
        -1,
        1,
        2**64,
        10**400,
        0.5,
        math.nan,
        math.inf,
        -math.inf,
        1j,
        1e308,
    ]
    texts = [
        "",
        " ",
        "a",
        "x" * 5_000,
        "a\x00b",
        "\ud83d",
        "../..",
        "nowhere/at/all",
        "=1+1",
        "\x1b[31mred",
        "(" * 5_000,
    ]
    raw = [
        b"",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        bytearray(b"abc"),
        io.BytesIO(b"abc"),
        io.StringIO("a"),
    ]
    nested: list[Any] = [
        [],
        [None],
        [[]],
        (),
        (1, 2),
        ("a", "b"),
        ("a", "b", "c"),
        [1, "a", None],
        {},
        {"a": 1},
        {1: 2},
        set(),
    ]
    rows: list[Any] = [
        {"text": None},
        {"image": None},
        [{"text": "a"}, {"image": "b"}],
        [("a", 1), "b"],
        {"text": [], "label": []},
    ]
    objects: list[Any] = [
        Odd(),
        Hostile(),
        Odd,
        len,
        types,
        lambda *a, **k: None,
        datetime.datetime(2020, 1, 1),
        Path("none"),
        range(3),
    ]
    pictures: list[Any] = [
        Image.new("RGB", (1, 1)),
        Image.new("F", (4, 4)),
        Image.new("P", (9, 3)),
        [Image.new("L", (2, 2))],
    ]
    frames: list[Any] = [
        pd.DataFrame(),
        pd.DataFrame({"text": ["a", None]}),
        pd.Series(["a", "b"], index=[7, 9]),
    ]
    modules: list[Any] = [torch.nn.Linear(2, 2), torch.nn.Identity(), torch.nn.Sequential()]
    return (
        plain + texts + raw + nested + rows + objects + pictures + frames + modules + _tensors() + _arrays()
    )


COUNT = len(odd_values())


@dataclass(frozen=True)
class Call:
    """A public function and arguments that work: ``run(arguments, folder)``."""

    run: Callable[[dict[str, Any], Path], Any]
    valid: Callable[[], dict[str, Any]]


@cache
def _explainer(reads: str) -> Explainer:
    model, processor, row = (bert(), tok(), T[0]) if reads == "text" else (eye(), SQUARE, P[0])
    target = as_target(model, processor)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [row], ScorerConfig(by_class=reads == "text")))


def _explanation() -> Explanation:
    return Explanation(
        scores={"text": np.array([0.0, 1.0])},
        inputs={"text": ["good ", "film"]},
        prediction=1,
        label="good",
        probability=0.75,
        probabilities=np.array([0.25, 0.75]),
    )


def _fit(arguments: dict[str, Any], folder: Path) -> Any:
    given = dict(arguments)
    model, train = given.pop("model"), given.pop("train")
    given.setdefault("output_dir", folder / "run")
    return Explainer.fit(model, train, **given)


def _fit_valid(reads: str) -> dict[str, Any]:
    own = (
        {
            "model": bert(),
            "train": T[:8],
            "eval": T[8:10],
            "processor": tok(),
            "layers": [-1],
            "max_length": 16,
        }
        if reads == "text"
        else {"model": eye(), "train": P[:8], "eval": P[8:10], "processor": SQUARE, "max_states": 2}
    )
    short = {**S, "batch_size": 8, "seed": 0, "learning_rate": 1e-3, "fills": ["zero"], "evals_per_epoch": 1}
    more = {
        "scorer": None,
        "objective": None,
        "training": None,
        "extra": {},
        "magnitude_weight": 1.0,
        "resume": True,
    }
    return {**own, **short, **more}


def _saved(folder: Path) -> Path:
    place = folder / "scorer"
    if not place.exists():
        _explainer("text").save_pretrained(place)
    return place


def _load(arguments: dict[str, Any], folder: Path) -> Any:
    place = _saved(folder)
    given = {
        **arguments,
        "folder": place
        if isinstance(arguments["folder"], str) and arguments["folder"] == "saved"
        else arguments["folder"],
    }
    return Explainer.from_pretrained(given.pop("folder"), given.pop("model"), **given)


def _explain_valid(reads: str) -> dict[str, Any]:
    common = {"batch_size": 2, "progress": False, "others": None}
    if reads == "text":
        return {"samples": T[:3], **common, "target": 1, "versus": 0, "verify": False}
    return {"samples": P[:3], **common, "target": None}


CALLS: dict[str, Call] = {
    "fit text": Call(_fit, lambda: _fit_valid("text")),
    "fit image": Call(_fit, lambda: _fit_valid("image")),
    "explain text": Call(lambda a, _: _explainer("text").explain(**a), lambda: _explain_valid("text")),
    "explain image": Call(lambda a, _: _explainer("image").explain(**a), lambda: _explain_valid("image")),
    "explain one": Call(lambda a, _: _explainer("image").explain(a["samples"]), lambda: {"samples": P[0]}),
    "attribute": Call(
        lambda a, _: _explainer("image").attribute(a["inputs"]),
        lambda: {"inputs": {"pixel_values": torch.zeros(2, 3, 32, 32)}},
    ),
    "attribute pixels": Call(
        lambda a, _: _explainer("image").attribute(a), lambda: {"pixel_values": torch.zeros(2, 3, 32, 32)}
    ),
    "attribute ids": Call(
        lambda a, _: _explainer("text").attribute(a),
        lambda: {
            "input_ids": torch.tensor([[2, 9, 9, 3]]),
            "attention_mask": torch.ones(1, 4, dtype=torch.long),
        },
    ),
    "save_pretrained": Call(
        lambda a, folder: _explainer("text").save_pretrained(
            folder / "s" if a["folder"] is Ellipsis else a["folder"]
        ),
        lambda: {"folder": Ellipsis},
    ),
    "from_pretrained": Call(
        _load,
        lambda: {
            "folder": "saved",
            "model": _explainer("text").target.model,
            "processor": tok(),
            "revision": None,
        },
    ),
    "load": Call(
        lambda a, folder: sidelight.load(_saved(folder), a["model"], processor=a["processor"]),
        lambda: {"model": _explainer("text").target.model, "processor": tok()},
    ),
    "as_target": Call(
        lambda a, _: as_target(a.pop("model"), a.pop("processor"), **a),
        lambda: {"model": eye(), "processor": SQUARE, "family": "image", "max_states": 2},
    ),
    "as_target text": Call(
        lambda a, _: as_target(a.pop("model"), a.pop("processor"), **a),
        lambda: {"model": bert(), "processor": tok(), "layers": [-1], "max_length": 8, "columns": []},
    ),
    "Explanation": Call(
        lambda a, _: Explanation(**a),
        lambda: {
            "scores": {"text": np.array([0.0, 1.0])},
            "inputs": {"text": ["good ", "film"]},
            "prediction": 1,
            "label": "good",
            "probability": 0.75,
            "probabilities": np.array([0.25, 0.75]),
            "method": "sidelight",
            "target": "a model",
            "meta": {"truncated": True},
        },
    ),
    "Explanation.from_dict": Call(lambda a, _: Explanation.from_dict(a), lambda: _explanation().to_dict()),
    "Explanation.plot": Call(
        lambda a, _: _explanation().plot(a["ax"], style=a["style"]), lambda: {"ax": None, "style": None}
    ),
    "Explanation.save": Call(
        lambda a, folder: _explanation().save(folder / "e" if a["path"] is Ellipsis else a["path"]),
        lambda: {"path": Ellipsis},
    ),
    "Explanation.save_html": Call(
        lambda a, folder: _explanation().save_html(folder / "e.html" if a["path"] is Ellipsis else a["path"]),
        lambda: {"path": Ellipsis},
    ),
    "Explanation.load": Call(lambda a, _: Explanation.load(a["path"]), lambda: {"path": "none"}),
    "ImageTransform": Call(
        lambda a, _: ImageTransform(**a)(P[0]),
        lambda: {
            "size": (8, 8),
            "mode": "RGB",
            "mean": (0.5,) * 3,
            "std": (0.5,) * 3,
            "crop": True,
            "resize_to": 9,
            "resample": "bilinear",
        },
    ),
    "ImageTransform()": Call(lambda a, _: SQUARE(a["source"]), lambda: {"source": P[0]}),
    "ImageTransform.from_dict": Call(
        lambda a, _: ImageTransform.from_dict(a["values"]), lambda: {"values": SQUARE.to_dict()}
    ),
    "ScorerConfig": Call(lambda a, _: ScorerConfig(**a), lambda: ScorerConfig().to_dict()),
    "scorer options": Call(
        lambda a, _: new_scorer(_explainer("image").target, P[:1], ScorerConfig(decoder={"image": a})),
        lambda: {"channels": [4, 4], "stride": 1, "padding": "zeros"},
    ),
    "scorer options of texts": Call(
        lambda a, _: new_scorer(_explainer("text").target, T[:1], ScorerConfig(decoder={"text": a})),
        lambda: {"width": 8, "layers": 1, "heads": 2, "expand": 1, "dropout": 0.0},
    ),
    "ObjectiveConfig": Call(lambda a, _: ObjectiveConfig(**a), lambda: vars(ObjectiveConfig())),
    "TrainingConfig": Call(lambda a, _: TrainingConfig(**a), lambda: vars(TrainingConfig())),
}


def everything(folder: Path) -> set[str]:
    return {str(p) for p in folder.rglob("*")}


def try_call(name: str, replaced: dict[str, int], folder: Path) -> None:
    """Make one call with some of its arguments replaced by odd values, named by number."""
    call, values = CALLS[name], odd_values()
    arguments = dict(call.valid())
    arguments.update({key: values[number] for key, number in replaced.items()})
    outside = folder / "outside"
    inside = folder / "inside"
    for place in (outside, inside):
        place.mkdir(exist_ok=True)
    (outside / "keep.txt").write_text("the user's")
    with warnings.catch_warnings(), within(SECONDS):
        warnings.simplefilter("ignore")
        try:
            call.run(arguments, inside)
        except SidelightError as error:
            words = str(error).strip()
        else:
            words = "worked"
    assert words, "an error without a word"
    assert everything(outside) == {str(outside / "keep.txt")}


def cases() -> st.SearchStrategy[tuple[str, dict[str, int]]]:
    """Names of calls, and numbers of odd values for one or two of their arguments."""

    def replace(name: str) -> st.SearchStrategy[tuple[str, dict[str, int]]]:
        keys = sorted(CALLS[name].valid())
        one = st.dictionaries(
            st.sampled_from(keys), st.integers(0, COUNT - 1), min_size=1, max_size=min(2, len(keys))
        )
        return one.map(lambda chosen: (name, chosen))

    return st.sampled_from(sorted(CALLS)).flatmap(replace)


def fuzz(examples: int, folder: Path) -> Callable[[], None]:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(cases())
    def run(case: tuple[str, dict[str, int]]) -> None:
        try_call(*case, folder)

    return run


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder; the working directory is another empty one."""
    work = tmp_path / "work" / "here"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return tmp_path


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_arguments_that_fuzzing_starts_from_work(name: str, place: Path) -> None:
    if name == "Explanation.load":
        _explanation().save("none")
    CALLS[name].run(dict(CALLS[name].valid()), place)


def test_fuzzing_finds_no_error_outside_our_family(place: Path) -> None:
    fuzz(150, place)()


@pytest.mark.soak
def test_fuzzing_thoroughly_finds_no_error_outside_our_family(place: Path) -> None:
    fuzz(6_000, place)()


@pytest.mark.soak
def test_every_odd_value_alone_for_cheap_calls(place: Path) -> None:
    cheap = [
        "Explanation",
        "ImageTransform",
        "ScorerConfig",
        "ObjectiveConfig",
        "TrainingConfig",
        "ImageTransform()",
    ]
    for name in cheap:
        for key in CALLS[name].valid():
            for number in range(COUNT):
                try_call(name, {key: number}, place)


assert os.name == "posix", "the time limit of these tests needs signals"
