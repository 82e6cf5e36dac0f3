"""What users write every day: samples, columns, indices and paths of usual and of wrong kinds, and warnings told once."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, eye, tok
from PIL import Image
from transformers import ViTConfig

import sidelight
from sidelight import Explainer, Explanation, ScorerConfig, read_explanations
from sidelight.errors import CheckpointError, ConfigError, InputError, InputTypeError, UnsupportedTargetError
from sidelight.inputs.pairs import read_pairs
from sidelight.inputs.view import TruncationWarning
from sidelight.targets import as_target
from sidelight.training.network import new_scorer

FRAME = pd.DataFrame({"text": T[:5]}, index=[40, 30, 20, 10, 0])
#: each has more tokens than the model reads
LONG = [" ".join(T[i : i + 9]) for i in range(12)]


# -- samples ------------------------------------------------------------------------


def test_kind_a_string_of_numpy_is_a_text_or_a_path(
    texts: Explainer, images: Explainer, tmp_path: Path
) -> None:
    one = np.array(T)[0]
    assert isinstance(one, np.str_)
    np.testing.assert_array_equal(texts.explain(one).map, texts.explain(T[0]).map)
    P[0].save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.explain(np.str_(tmp_path / "a.png")).map, images.explain(P[0]).map)


def test_kind_an_open_file_alone_is_a_picture_and_no_stream_of_lines(
    texts: Explainer, images: Explainer, tmp_path: Path
) -> None:
    expected = images.explain(P[0]).map
    buffer = io.BytesIO()
    P[0].save(buffer, "PNG")
    np.testing.assert_array_equal(images.explain(buffer).map, expected)
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(images.explain(file).map, expected)
    with pytest.raises(InputTypeError, match="an open file: give its path"):
        texts.explain(io.StringIO("great\nfilm"))


def test_kind_grey_with_premultiplied_alpha_is_laid_on_white_too(images: Explainer) -> None:
    grey = Image.new("LA", (9, 9), (90, 255))
    np.testing.assert_array_equal(images.explain(grey.convert("La")).map, images.explain(grey).map)


def test_kind_what_a_tokenizer_gives_is_taken_or_told(texts: Explainer) -> None:
    expected = texts.explain(T[0]).map
    given = tok()(T[0], return_tensors="pt", return_offsets_mapping=True, return_length=True)
    (found,) = texts.explain(given)
    np.testing.assert_allclose(found.map, expected, atol=1e-6)
    for one in (tok()(T[0]), {k: v[0] for k, v in given.items()}):
        with pytest.raises(InputError, match=r"Ids of one text need a batch axis.*\[T\] is read as T texts"):
            texts.explain(one)


def test_kind_pixels_of_one_picture_without_a_batch_axis_are_told_how_they_were_read(
    images: Explainer,
) -> None:
    pixels = torch.rand(3, 32, 32)
    with pytest.raises(InputError, match=r"one \[C, H, W\] is read as C\. Give it as x\.unsqueeze\(0\)"):
        images.explain({"pixel_values": pixels})
    (one,) = images.explain({"pixel_values": pixels.unsqueeze(0)})
    (row,) = images.explain([{"pixel_values": pixels}])
    np.testing.assert_array_equal(one.map, row.map)


def test_kind_a_forward_of_several_inputs_is_told(tmp_path: Path) -> None:
    class Two(torch.nn.Conv2d):
        def forward(self, image: torch.Tensor, place: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(image).mean((2, 3)) + place

    with pytest.raises(UnsupportedTargetError, match="the forward of Two needs 'image', 'place'"):
        Explainer.fit(Two(3, 2, 3), torch.randn(9, 3, 8, 8), layers=[""], output_dir=tmp_path, **S)


def test_kind_a_forward_that_cannot_be_called_with_pixels_is_told(tmp_path: Path) -> None:
    class ByName(torch.nn.Conv2d):
        def forward(self, *, image: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return super().forward(image).mean((2, 3))

    class Configured(torch.nn.Conv2d):
        config = ViTConfig()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).mean((2, 3))

    pixels = torch.randn(9, 3, 8, 8)
    for kind, told in (
        (ByName, r"by name only.*self\.model\(image=x\)"),
        (Configured, "takes no 'pixel_values'"),
    ):
        with pytest.raises(UnsupportedTargetError, match=f"{kind.__name__} .*{told}"):
            Explainer.fit(kind(3, 2, 3), pixels, layers=[""], output_dir=tmp_path, **S)


class Centring(torch.nn.Module):
    """A classifier that changes its input in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 3, 2), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.stem(x.sub_(0.5).mul_(2)).relu().mean((2, 3)))
        return found


def test_kind_a_model_that_changes_its_input_in_place(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, pixels = Centring().eval(), torch.randn(40, 3, 16, 16)
    before = pixels.clone()
    explainer = Explainer.fit(model, pixels, layers=["stem"], output_dir=tmp_path, **S)
    (found,) = explainer.explain({"pixel_values": pixels[:1]}, verify=True)
    explainer.explain(pixels[0], refine=1)
    assert torch.equal(pixels, before)
    own = model(before[:1].clone()).softmax(-1)[0].tolist()
    np.testing.assert_allclose(found.probabilities, own, atol=1e-5)
    assert found.meta["certificate"][0]["insertion"][-1] == pytest.approx(found.probability, abs=1e-5)


# -- rows in and rows out -------------------------------------------------------------------


def test_kind_answers_for_a_frame_keep_its_index(texts: Explainer) -> None:
    found = FRAME.join(texts.row_function(keep=["label", "probability"])(FRAME))
    for text, label, probability in found.itertuples(index=False):
        own = texts.explain(text)
        assert label == own.label
        assert probability == pytest.approx(own.probability, abs=1e-6)


def test_kind_one_name_in_place_of_a_list_of_names_is_refused(texts: Explainer, tmp_path: Path) -> None:
    for options in ({"keep": "label"}, {"columns": "text"}, {"columns": None}, {"keep": [1]}):
        with pytest.raises(ConfigError, match=f"{next(iter(options))} must be a list of names"):
            texts.row_function(**options)
    for columns in ("text", None, 3):
        with pytest.raises(ConfigError, match="columns must be a list of names"):
            texts.explain_dataset(FRAME, tmp_path / "out", columns=columns)  # type: ignore[arg-type]


def test_kind_a_single_row_is_told_from_a_batch(texts: Explainer) -> None:
    with pytest.raises(InputTypeError, match="batched=True"):
        texts.row_function()({"text": T[0], "label": 1})


@pytest.mark.parametrize("one", [np.int64(1), torch.tensor(1), np.array(1)])
def test_kind_a_class_number_of_numpy_or_torch_is_a_number_everywhere(
    one: Any, texts: Explainer, tmp_path: Path
) -> None:
    expected = texts.explain(T[0], target=1, refine=1)
    np.testing.assert_array_equal(texts.explain(T[0], target=one, refine=np.int64(1)).map, expected.map)
    stored = texts.explain_dataset(T[:3], tmp_path / "out", target=one)
    assert [e.explained for e in stored] == [1, 1, 1]


@pytest.mark.parametrize("name", ["verify", "progress", "strict"])
def test_kind_the_word_no_is_no_flag(name: str, texts: Explainer, tmp_path: Path) -> None:
    calls: list[Callable[..., Any]] = [lambda **o: texts.explain_dataset(T[:2], tmp_path / "out", **o)]
    calls = [lambda **o: texts.explain(T[:2], **o)] if name == "verify" else calls
    for wrong in ("no", None, 2):
        with pytest.raises(ConfigError, match=f"{name} must be True or False"):
            calls[0](**{name: wrong})
    assert len(calls[0](**{name: np.bool_(False)})) == 2


def test_kind_a_job_that_cannot_work_is_refused_before_its_first_row(
    texts: Explainer, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"said": T[:5], "label": 0})
    with pytest.raises(InputError, match=r"no column that is known to hold the text.*columns=\['said'\]"):
        texts.explain_dataset(rows, tmp_path / "out")
    with pytest.raises(InputError, match=r"no column 'sayd'.*Did you mean 'said'"):
        texts.explain_dataset(rows, tmp_path / "out", columns=["sayd"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="versus='LABEL_1' is the class that is explained"):
        texts.explain_dataset(rows, tmp_path / "out", columns=["said"], target="LABEL_1", versus=1)
    assert len(texts.explain_dataset(rows, tmp_path / "out", columns=["said"])) == 5


def test_kind_stored_answers_are_found_by_number_slice_and_id(texts: Explainer, tmp_path: Path) -> None:
    stored = texts.explain_dataset(T[:9], tmp_path / "out", block_rows=4)
    for part in (slice(2, 6), slice(None, None, -3), slice(-2, None), slice(20, 30)):
        expected = [stored[n].probability for n in range(9)[part]]
        assert [e.probability for e in stored[part]] == expected
    assert stored[np.int64(5)].probability == stored[5].probability
    for wrong in (None, True, 1.0, [0, 1]):
        with pytest.raises(InputTypeError, match="number of its row or by an id"):
            stored[wrong]  # type: ignore[index]


# -- wrong kinds of arguments ------------------------------------------------------------------


PATHS: dict[str, Callable[[Explainer], Any]] = {
    "from_pretrained": lambda e: sidelight.load(None),  # type: ignore[arg-type]
    "model first": lambda e: sidelight.load(e.target.model, "folder"),  # type: ignore[arg-type]
    "save_pretrained": lambda e: e.save_pretrained(None),  # type: ignore[arg-type]
    "explain_dataset": lambda e: e.explain_dataset(T, None),  # type: ignore[arg-type]
    "read_explanations": lambda e: read_explanations(3),  # type: ignore[arg-type]
    "export": lambda e: e.export(None),  # type: ignore[arg-type]
    "save": lambda e: e.explain(T[0]).save(None),  # type: ignore[arg-type]
    "save_html": lambda e: e.explain(T[0]).save_html(3),  # type: ignore[arg-type]
    "load": lambda e: Explanation.load(None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", PATHS)
def test_kind_what_is_no_path_is_said_to_be_none(name: str, texts: Explainer) -> None:
    with pytest.raises(InputTypeError, match=r"expected the .* as a string or Path; got (NoneType|int|Bert)"):
        PATHS[name](texts)


def test_kind_arguments_of_another_kind_are_told_in_words(texts: Explainer, images: Explainer) -> None:
    _, axes = plt.subplots(1, 2)
    for explainer, sample in ((texts, T[0]), (images, P[0])):
        with pytest.raises(InputTypeError, match=re.escape("axes[0]")):
            explainer.explain(sample).plot(ax=axes)
    plt.close()
    for wrong in (None, "x", [1]):
        with pytest.raises(CheckpointError, match="what to_dict"):
            Explanation.from_dict(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"has no text column .*\['said'\]"):
        texts.explain({"said": T[0]})


# -- warnings -----------------------------------------------------------------------------------


def told(call: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if issubclass(w.category, TruncationWarning)]


def test_kind_a_call_says_once_that_texts_were_cut_and_names_the_row(
    texts: Explainer, tmp_path: Path
) -> None:
    rows = [*T[:5], *LONG]
    function = texts.row_function()
    calls: dict[str, Callable[[], Any]] = {
        "explain": lambda: texts.explain(rows, batch_size=2),
        "stream": lambda: list(texts.explain_stream(iter(rows), batch_size=2)),
        "job": lambda: texts.explain_dataset(rows, tmp_path / "out", batch_size=2),
        "function": lambda: [function({"text": rows}), function({"text": LONG})],
        "pipeline": lambda: sidelight.pipeline(explainer=texts)(rows, batch_size=2),
    }
    found = {name: told(call) for name, call in calls.items()}
    assert {name: len(lines) for name, lines in found.items()} == dict.fromkeys(calls, 1)
    assert all("(first: sample 5)" in found[name][0] for name in ("explain", "stream"))
    assert len(told(calls["explain"])) == 1  # the next call says it again


def test_kind_a_training_says_once_that_texts_were_cut_and_names_the_row(tmp_path: Path) -> None:
    (line,) = told(lambda: Explainer.fit(bert(), LONG * 3, processor=tok(), output_dir=tmp_path, **S))
    assert re.search(r"\(first: row \d+ of train\)", line)


def test_kind_a_warning_that_is_an_error_names_no_wrong_row(texts: Explainer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        with pytest.raises(TruncationWarning, match="sample 5"):
            texts.explain([*T[:5], *LONG], batch_size=3)


# -- the terminal -------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_kind_a_full_disk_behind_the_output_is_told_without_a_traceback() -> None:
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "sidelight.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert ran.returncode == 2
    assert ran.stderr == "error: the system refused to go on: No space left on device.\n"


@pytest.mark.parametrize("column", ["img", "picture", "photo"])
def test_kind_pictures_may_stand_in_a_column_of_another_usual_name(column: str, tmp_path: Path) -> None:
    """CIFAR-10 of the hub has them in `img`."""
    rows = datasets.Dataset.from_list([{column: p, "label": i % 3} for i, p in enumerate(P[:8])])
    explainer = Explainer.fit(eye(), rows, processor=SQUARE, output_dir=tmp_path / "run", **S)
    asked = explainer.explain(P[0])
    np.testing.assert_array_equal(explainer.explain(rows[0]).scores["image"], asked.scores["image"])
    P[0].save(tmp_path / "a.png")
    (tmp_path / "rows.csv").write_text(f"{column}\na.png\n")
    out = explainer.explain_dataset(tmp_path / "rows.csv", tmp_path / "out")
    stored = read_explanations(tmp_path / "out")[0]
    assert out
    np.testing.assert_allclose(stored.scores["image"], asked.scores["image"], atol=1e-3)  # as float16


@pytest.mark.parametrize("column", ["image", "img"])
def test_kind_a_picture_that_changed_makes_another_job_whatever_its_column_is_called(
    column: str, tmp_path: Path
) -> None:
    target = as_target(eye(), SQUARE)
    explainer = Explainer(target, new_scorer(target, [P[0]], ScorerConfig()))
    P[0].save(tmp_path / "a.png")
    (tmp_path / "rows.csv").write_text(f"{column}\na.png\n")
    explainer.explain_dataset(tmp_path / "rows.csv", tmp_path / "out")
    P[1].save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="content of the source"):
        explainer.explain_dataset(tmp_path / "rows.csv", tmp_path / "out")


def test_kind_columns_of_several_pairs_are_told_whatever_they_are_called() -> None:
    for column in ("image", "img"):
        with pytest.raises(InputError, match=f"2 under '{column}'.*it is a batch of columns"):
            read_pairs([{column: P[:2], "text": "a cat"}])
