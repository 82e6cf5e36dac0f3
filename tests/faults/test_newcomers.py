"""What newcomers try: rows of data frames, arrays of pictures, folders as models, tensors as results, modes of torch."""

from __future__ import annotations

import dataclasses
import gc
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from fault_models import SQUARE, P, S, T, bert, tok, untrained
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler
from typer.testing import CliRunner

import pair_models
import sidelight
from face_toys import pair_explainer
from sidelight import Explainer, Explanation
from sidelight.cli.app import app
from sidelight.errors import CheckpointError, ConfigError, InputError, InputTypeError, UnsupportedTargetError
from sidelight.rows.sources import open_data, rows_of
from sidelight.scorers import ScorerConfig
from sidelight.targets import as_target
from sidelight.targets.text import TextTarget
from sidelight.training.fit_data import raw_labels, second_of_two
from sidelight.training.network import new_scorer


@pytest.fixture(scope="module")
def pairs() -> Explainer:
    return pair_explainer()


def same(found: Explanation, expected: Explanation) -> None:
    assert isinstance(found, Explanation)
    for name, scores in expected.scores.items():
        np.testing.assert_allclose(found.scores[name], scores, atol=1e-5)


# -- rows and samples ---------------------------------------------------------------


def test_kind_a_row_of_a_data_frame_is_one_row(texts: Explainer, images: Explainer, pairs: Explainer) -> None:
    shown = pair_models.pairs()
    for explainer, rows in (
        (texts, [{"text": t, "label": 1} for t in T[:3]]),
        (texts, [{"review": t, "stars": 4} for t in T[:3]]),
        (images, [{"img": p, "label": 1} for p in P[:3]]),
        (pairs, [{"image": i, "text": t, "id": "a"} for i, t in shown]),
    ):
        frame = pd.DataFrame(rows, index=list("cab"))
        expected = explainer.explain(rows)
        same(explainer.explain(frame.iloc[1]), expected[1])
        for found, own in zip(frame.apply(explainer.explain, axis=1), expected, strict=True):
            same(found, own)
        listed = explainer.explain([row for _, row in frame.iterrows()])
        streamed = explainer.explain(row for _, row in frame.iterrows())
        for found, again, own in zip(listed, streamed, expected, strict=True):
            same(found, own)
            same(again, own)


ROWS_OF_TABLES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "iterrows": lambda frame: frame.iterrows(),
    "itertuples": lambda frame: frame.itertuples(),
    "itertuples without numbers": lambda frame: frame.itertuples(index=False),
    "records": lambda frame: frame.to_records(index=False),
    "numbered records": lambda frame: frame.to_records(),
    "dictionaries": lambda frame: frame.to_dict("records"),
}


@pytest.mark.parametrize("kind", ROWS_OF_TABLES)
def test_kind_rows_of_tables_are_read_by_their_columns(kind: str, texts: Explainer, pairs: Explainer) -> None:
    shown = pair_models.pairs()
    for explainer, rows in (
        (texts, [{"stars": 4, "review": t} for t in T[:3]]),
        (pairs, [{"id": "a", "text": t, "picture": i} for i, t in shown]),
    ):
        frame, expected = pd.DataFrame(rows), explainer.explain(rows)
        every = ROWS_OF_TABLES[kind]
        for found in (explainer.explain(every(frame)), explainer.explain(list(every(frame)))):
            for one, own in zip(found, expected, strict=True):
                same(one, own)
        same(explainer.explain(next(iter(every(frame)))), expected[0])


def test_kind_rows_of_a_database_are_read_by_their_columns(texts: Explainer) -> None:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    pd.DataFrame({"id": range(3), "text": T[:3]}).to_sql("reviews", connection, index=False)
    found = texts.explain(connection.execute("select id, text from reviews order by id").fetchall())
    for one, own in zip(found, texts.explain(T[:3]), strict=True):
        same(one, own)
    connection.close()


@dataclasses.dataclass
class Review:
    stars: int
    text: str


class Words(NamedTuple):
    label: str
    comment: str


class Two(NamedTuple):
    first: str
    second: str


def records(rows: list[dict[str, Any]]) -> Any:
    return np.array([(row["stars"], row["text"]) for row in rows], dtype=[("stars", "i8"), ("text", "U200")])


ROWS_WITH_NAMES: dict[str, Callable[[list[dict[str, Any]]], list[Any]]] = {
    "data classes": lambda rows: [Review(**row) for row in rows],
    "masked records": lambda rows: list(np.ma.array(records(rows))),
    "records of no dimension": lambda rows: [np.array(record) for record in records(rows)],
    "structs of Arrow": lambda rows: list(pa.Table.from_pylist(rows).to_struct_array().chunk(0)),
    "texts of Arrow": lambda rows: list(pa.Table.from_pylist(rows)["text"]),
    "a text and its label, by name": lambda rows: [Words("LABEL_1", row["text"]) for row in rows],
}


@pytest.mark.parametrize("kind", ROWS_WITH_NAMES)
def test_kind_rows_that_name_their_values_are_read_by_name(kind: str, texts: Explainer) -> None:
    expected = texts.explain(T[:3])
    rows = ROWS_WITH_NAMES[kind]([{"stars": i, "text": t} for i, t in enumerate(T[:3])])
    for one, own in zip(texts.explain(rows), expected, strict=True):
        same(one, own)
    same(texts.explain(rows[0]), expected[0])


def test_kind_names_that_are_no_columns_leave_a_pair_a_pair(texts: Explainer) -> None:
    same(texts.explain(Two(T[0], T[1])), texts.explain((T[0], T[1])))


def test_kind_samples_with_a_column_of_labels_are_no_row(texts: Explainer) -> None:
    expected = texts.explain(T[:3])
    for labels in (pd.Series([0, 1, 1]), pd.Series([0, 1, 1], index=["text", "b", "c"])):
        found = texts.explain((pd.Series(T[:3]), labels))
        for one, own in zip(found, expected, strict=True):
            same(one, own)


def database(query: str) -> list[Any]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    pd.DataFrame({"label": "LABEL_1", "comment": T[:3]}).to_sql("t", connection, index=False)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


UNKNOWN = pd.DataFrame({"stars": "four", "comment": T[:3]})
NO_COLUMN: dict[str, Callable[[], Any]] = {
    "itertuples": lambda: list(UNKNOWN.itertuples(index=False)),
    "numbered by names": lambda: list(UNKNOWN[["comment"]].set_index(pd.Index(list("abc"))).itertuples()),
    "records": lambda: UNKNOWN.to_records(index=False),
    "one record": lambda: UNKNOWN.to_records(index=False)[0],
    "a database": lambda: database("select label, comment from t"),
}


@pytest.mark.parametrize("kind", NO_COLUMN)
def test_kind_rows_without_a_known_column_are_refused_by_its_columns(kind: str, texts: Explainer) -> None:
    with pytest.raises(InputError, match=r"no text column .* its columns are .*'comment'"):
        texts.explain(NO_COLUMN[kind]())


def test_kind_two_columns_of_one_name_are_refused_in_rows_too(texts: Explainer) -> None:
    frame = pd.DataFrame([[T[0], T[1]]], columns=["text", "text"])
    for row in (frame.iloc[0], database("select comment as text, label as text from t")[0]):
        for given in (row, [row]):
            with pytest.raises(InputError, match="several columns text"):
                texts.explain(given)


def test_kind_columns_that_the_user_named_are_read_in_every_row(texts: Explainer) -> None:
    target = TextTarget(bert(), tok(), columns=["comment"])
    explainer = Explainer(target, new_scorer(target, [T[0]], ScorerConfig(by_class=True)))
    frame = pd.DataFrame({"label": "LABEL_1", "comment": T[:3], "other": "words"})
    expected = explainer.explain(T[:3])
    for every in ROWS_OF_TABLES.values():
        for one, own in zip(explainer.explain(list(every(frame))), expected, strict=True):
            same(one, own)
        same(explainer.explain(next(iter(every(frame)))), expected[0])


def test_kind_a_column_with_names_of_rows_stays_a_column(texts: Explainer) -> None:
    assert len(texts.explain(pd.Series(T[:3], index=["a", "b", "c"]))) == 3
    assert len(texts.explain(pd.Series(T[:3], index=pd.Index(T[:3])))) == 3


@pytest.mark.parametrize("wrap", [bytearray, memoryview])
def test_kind_bytes_of_any_kind_are_one_picture(wrap: Any, images: Explainer, tmp_path: Path) -> None:
    P[0].save(tmp_path / "a.png")
    same(images.explain(wrap((tmp_path / "a.png").read_bytes())), images.explain(P[0]))


def test_kind_arrays_of_samples_are_several(
    texts: Explainer, images: Explainer, pairs: Explainer, tmp_path: Path
) -> None:
    def objects(samples: list[Any]) -> np.ndarray:
        found = np.empty(len(samples), dtype=object)
        for place, sample in enumerate(samples):
            found[place] = sample
        return found

    for place in (0, 1):
        P[place].save(tmp_path / f"{place}.png")
    paths = np.array([str(tmp_path / f"{place}.png") for place in (0, 1)])
    stacked = np.stack([np.asarray(p) for p in P[:2]])
    shown = pair_models.pairs()
    for explainer, given, samples in (
        (texts, objects(T[:2]), T[:2]),
        (images, objects(P[:2]), P[:2]),
        (images, paths, P[:2]),
        (images, stacked, P[:2]),
        (pairs, objects(list(shown[:2])), list(shown[:2])),
    ):
        for found, own in zip(explainer.explain(given), explainer.explain(samples), strict=True):
            same(found, own)


def test_kind_nothing_of_a_list_in_a_list_is_lost(texts: Explainer, images: Explainer) -> None:
    with pytest.raises(InputError, match="sample 0 has 3 texts"):
        texts.explain([T[:3]])
    for nested in ([P[:2]], [tuple(P[:2])], [[np.asarray(p) for p in P[:2]]]):
        with pytest.raises(InputTypeError, match="ends in its label"):
            images.explain(nested)
    same(images.explain([(P[0], 1)])[0], images.explain(P[0]))
    same(images.explain([(P[0], "cat")])[0], images.explain(P[0]))
    same(images.explain([(P[0], torch.tensor(2))])[0], images.explain(P[0]))


@pytest.mark.parametrize(
    ("array", "advice"),
    [
        (np.zeros((3, 40, 30), np.uint8), "channels come last"),
        (np.zeros((3, 40, 30)), "channels come last.*If 1 is white"),
        (np.zeros((40, 30, 3), np.float32), r"\(array \* 255\)"),
        (np.zeros((40, 30, 3), np.int64), "must be uint8"),
    ],
)
def test_kind_an_array_that_is_no_picture_is_told_the_way_on(
    array: np.ndarray, advice: str, images: Explainer
) -> None:
    with pytest.raises(InputTypeError, match=advice):
        images.explain(array)
    with pytest.raises(InputError, match="the Image is an empty image of 0×5"):
        images.explain(Image.new("RGB", (0, 5)))


# -- arguments ----------------------------------------------------------------------


def test_kind_an_argument_is_checked_for_one_sample_as_for_several(texts: Explainer) -> None:
    for samples in (T[0], T[:2], tok()(T[:2], return_tensors="pt", padding=True)):
        for wrong in (0, "8", 2.5):
            with pytest.raises((InputError, ConfigError), match="batch_size"):
                texts.explain(samples, batch_size=wrong)
        with pytest.raises(ConfigError, match="progress must be True or False"):
            texts.explain(samples, progress="no")


def test_kind_a_name_in_another_case_is_found(texts: Explainer) -> None:
    found, expected = (texts.explain(T[0], target=name) for name in ("label_1", "LABEL_1"))
    assert found.explained == expected.explained == 1
    same(found, expected)
    with pytest.raises(ConfigError, match="or 'second'"):
        texts.explain(T[0], target="Second")


def test_kind_one_is_counted_in_the_singular(texts: Explainer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lists 2 classes for 1 sample;"):
        texts.explain(T[0], target=[0, 1])
    with pytest.raises(InputError, match="lists 1 class for 2 samples;"):
        texts.explain(T[:2], target=[0])
    with pytest.raises(InputError, match="the only row could not be explained"):
        texts.explain_dataset([{"text": ""}], tmp_path / "none")
    assert "1 row in" in repr(texts.explain_dataset(T[:1], tmp_path / "one"))


def test_kind_the_command_counts_one_row_in_the_singular(tmp_path: Path) -> None:
    model = bert()
    model.save_pretrained(tmp_path / "model")
    tok().save_pretrained(tmp_path / "model")
    untrained(model, tok(), T[0]).save_pretrained(tmp_path / "scorer")
    pd.DataFrame({"text": [T[0], ""]}).to_csv(tmp_path / "rows.csv", index=False)
    arguments = [
        "explain",
        tmp_path / "scorer",
        "--model",
        tmp_path / "model",
        "--csv",
        tmp_path / "rows.csv",
    ]
    told = CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "out")])
    assert "1 row explained:" in told.output
    assert "1 row could not be explained:" in told.output


# -- models and places --------------------------------------------------------------


def test_kind_fit_takes_a_folder_as_the_model(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "model")
    tok().save_pretrained(tmp_path / "model")
    fitted = Explainer.fit(tmp_path / "model", T, output_dir=tmp_path / "a", **S)
    assert fitted.target.reader.tokenizer is not None
    same(sidelight.load(tmp_path / "a" / "scorer").explain(T[0]), fitted.explain(T[0]))
    again = Explainer.fit(str(tmp_path / "model"), T, processor=tok(), output_dir=tmp_path / "b", **S)
    same(again.explain(T[0]), fitted.explain(T[0]))
    with pytest.raises(CheckpointError, match="no model folder at '/nowhere'"):
        Explainer.fit("/nowhere", T, output_dir=tmp_path / "c", **S)
    with pytest.raises(ConfigError, match="epoch"):
        Explainer.fit(tmp_path / "model", T, epoch=1, output_dir=tmp_path / "c", **S)


def test_kind_a_place_that_the_system_refuses_to_look_at_is_told(texts: Explainer, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    found = texts.explain(T[0])
    calls: list[Callable[[], Any]] = [
        lambda: texts.save_pretrained(long),
        lambda: sidelight.load(long, bert()),
        lambda: texts.explain_dataset(T[:2], long),
        lambda: sidelight.read_explanations(long),
        lambda: Explainer.fit(bert(), T, processor=tok(), output_dir=long, **S),
        lambda: found.save(long),
        lambda: found.save_html(long),
        lambda: Explanation.load(long),
    ]
    for call in calls:
        with pytest.raises(CheckpointError, match="name too long"):
            call()


def test_kind_a_table_is_closed_after_reading(texts: Explainer, tmp_path: Path) -> None:
    pd.DataFrame({"text": T[:5]}).to_csv(tmp_path / "rows.csv", index=False)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        texts.explain_dataset(tmp_path / "rows.csv", tmp_path / "out", block_rows=2)
        texts.explain(tmp_path / "rows.csv")
        gc.collect()
    assert not [w for w in told if issubclass(w.category, ResourceWarning)]


@pytest.mark.parametrize(
    ("option", "here"),
    [
        ("tokenizer", "processor="),
        ("lr", "learning_rate="),
        ("num_train_epochs", "epochs="),
        ("max_steps", r"extra=\{'max_steps': \.\.\.\}"),
        ("num_workers", r"extra=\{'dataloader_num_workers'"),
        ("gradient_accumulation_steps", "gradient_accumulation="),
        ("verbose", "'disable_tqdm': True"),
        ("device", r"model.to\("),
        ("epoch", "Did you mean 'epochs'"),
    ],
)
def test_kind_an_option_of_other_libraries_is_named_as_here(option: str, here: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no option '{option}'.*{here}"):
        Explainer.fit(bert(), T, processor=tok(), output_dir=tmp_path, **{option: 1})


def test_kind_messages_show_plain_values(tmp_path: Path) -> None:
    rows = pd.DataFrame({"text": T[:9], "label": [None, *[1.0] * 8]})
    with pytest.raises(InputError, match=r"has no label \(nan\)"):
        Explainer.fit(bert(), rows, processor=tok(), output_dir=tmp_path, **{**S, "label": "data"})
    with pytest.raises(ConfigError, match="class_names holds 1 name, but"):
        Explainer.fit(bert(), T, processor=tok(), class_names=["a"], output_dir=tmp_path, **S)


# -- modes of torch -----------------------------------------------------------------


def test_kind_refining_works_on_tensors_of_inference_mode(
    texts: Explainer, images: Explainer, pairs: Explainer
) -> None:
    for explainer, sample in ((texts, T[0]), (images, P[0]), (pairs, pair_models.pairs()[0])):
        expected = explainer.explain(sample, refine=2)
        with torch.inference_mode():
            same(explainer.explain(sample, refine=2), expected)
    with torch.inference_mode():
        pixels = SQUARE(P[0])
    same(images.explain(pixels, refine=2), images.explain(P[0], refine=2))


# -- explanations made by hand ------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_kind_an_explanation_takes_tensors(kind: torch.dtype, tmp_path: Path) -> None:
    scores = torch.eye(3, dtype=kind).requires_grad_()
    odds = torch.tensor([0.25, 0.75], dtype=kind).requires_grad_()
    made = Explanation(
        {"image": scores},
        {"image": scores[..., None]},
        1,
        "cat",
        odds[1],  # type: ignore[arg-type]
        odds,  # type: ignore[arg-type]
        ranking={"image": scores},
        effects={"image": scores},
    )
    np.testing.assert_array_equal(made.map, np.eye(3))
    assert made.probability == 0.75
    made.save(tmp_path / "made")
    np.testing.assert_array_equal(Explanation.load(tmp_path / "made").map, made.map)


def test_kind_an_explanation_that_cannot_be_drawn_is_refused_when_it_is_made() -> None:
    words = {"text": ["so ", "happy"]}
    with pytest.raises(InputError, match=r"text scores must be \[2\] like the words"):
        Explanation({"text": [0.5]}, words, 0, "yes", 0.9)  # type: ignore[dict-item]
    for wrong in (None, "note", [1]):
        with pytest.raises(InputError, match="meta must be a mapping"):
            Explanation({"text": [0.5, 1]}, words, 0, "yes", 0.9, meta=wrong)  # type: ignore[arg-type,dict-item]
    with pytest.raises(InputError, match="complex"):
        Explanation({"text": torch.zeros(2, dtype=torch.complex64)}, words, 0, "yes", 0.9)  # type: ignore[dict-item]


def test_kind_a_mapping_without_a_text_is_told_by_the_pipeline(texts: Explainer) -> None:
    with pytest.raises(InputError, match="a mapping needs 'text'"):
        sidelight.pipeline(explainer=texts)({"txt": T[0]})


LABELLED: dict[str, Callable[[pd.DataFrame], list[Any]]] = {
    **{kind: lambda frame, every=every: list(every(frame)) for kind, every in ROWS_OF_TABLES.items()},
    "structs of Arrow": lambda frame: list(pa.Table.from_pandas(frame).to_struct_array().chunk(0)),
    "named tuples": lambda frame: [Words(row.label, row.text) for row in frame.itertuples()],
}


@pytest.mark.parametrize("kind", LABELLED)
def test_kind_a_label_is_that_of_its_column(kind: str, texts: Explainer) -> None:
    names = ["LABEL_1", "LABEL_0", "LABEL_1"]
    rows = rows_of(LABELLED[kind](pd.DataFrame({"label": names, "stars": "LABEL_0", "text": T[:3]})))
    reader = second_of_two(texts.target, rows, {"label_0", "label_1"}, "data")
    assert raw_labels(texts.target, rows, reader) == names


def test_kind_a_batch_as_a_loader_gives_it_is_several_samples(texts: Explainer, images: Explainer) -> None:
    """Before, the list of texts and labels that a loader gives was refused, and a tuple of them was not."""
    rows = [(text, number % 3) for number, text in enumerate(T[:4])]
    (batch,) = DataLoader(rows, batch_size=4)
    assert isinstance(batch, list)
    found, expected = texts.explain(batch), texts.explain(T[:4])
    assert [e.inputs for e in found] == [e.inputs for e in expected]
    pixels = torch.stack([SQUARE(p) for p in P[:4]])
    found = images.explain([pixels, torch.arange(4)])
    assert len(found) == 4
    np.testing.assert_allclose(found[3].map, images.explain(P[3]).map, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("text", (T[0], 1), "If it is the label of a text, leave it out"),
        ("text", (T[0], torch.tensor(1)), "If it is the label of a text, leave it out"),
        ("text", [T[:8], T[8:16]], "The texts of a batch are given one by one"),
        (
            "text",
            ({"input_ids": torch.ones(2, 5, dtype=torch.long)} for _ in range(2)),
            "This row is a batch",
        ),
        ("image", (P[0], 1), "If it is the label of an image, leave it out"),
        ("image", (torch.zeros(3, 32, 32), torch.tensor(1)), "If it is the label of an image, leave it out"),
        ("image", (torch.zeros(2, 3, 32, 32) for _ in range(2)), "This row is a batch"),
        ("image", [{"x": torch.zeros(3, 32, 32)}], r"got \['x'\]. Call it 'pixel_values'"),
    ],
)
def test_kind_batches_and_labels_in_the_place_of_samples_are_told(
    texts: Explainer, images: Explainer, kind: str, given: Any, words: str
) -> None:
    with pytest.raises((InputError, InputTypeError), match=words):
        (texts if kind == "text" else images).explain(given)


def test_kind_parts_of_an_explainer_and_inputs_of_another_kind_are_told(texts: Explainer) -> None:
    """Before, these ended in an AttributeError, or in a report of a fault of sidelight."""
    for parts in ((bert(), tok()), (texts.target, "scorer"), ("folder", texts.scorer)):
        with pytest.raises(InputTypeError, match=r"Explainer\.fit\(model, data, processor=\.\.\.\)"):
            Explainer(*parts)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="expected a mapping with an 'input_ids' tensor"):
        texts.target.check(torch.ones(1, 4, dtype=torch.long))  # type: ignore[arg-type]


class _Flow(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __iter__(self) -> Any:
        return iter(self.rows)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_kind_pairs_in_a_loader_stay_together(size: int, texts: Explainer) -> None:
    """Before, a loader with batches of two gave the two first texts as one pair, and the two seconds as another."""
    pairs = [(T[i], T[i + 20]) for i in range(6)]
    flags = [[1, 0, i % 2] for i in range(6)]
    for rows, kept in (
        ([(pair, i) for i, pair in enumerate(pairs)], lambda row: row[0]),
        ([{"pair": pair, "label": i} for i, pair in enumerate(pairs)], lambda row: row["pair"]),
        ([((pair, "x"), i) for i, pair in enumerate(pairs)], lambda row: row[0][0]),
    ):
        for loader in (
            DataLoader(_Flow(rows), size),
            DataLoader(rows, size, sampler=SubsetRandomSampler([0])),
        ):  # type: ignore[arg-type]
            found = [kept(row) for row in open_data(loader, "train")]
            assert found == pairs[: len(found)]
            assert found
    labelled = open_data(DataLoader(_Flow(list(zip(T, flags, strict=False))), size), "train")
    assert [[int(flag) for flag in row[1]] for row in labelled] == flags
    found = texts.explain(DataLoader(_Flow([(pair, 0) for pair in pairs]), size))
    for one, own in zip(found, pairs, strict=True):
        same(one, texts.explain(own))


class _Predicts:
    def predict_proba(self, texts: list[str]) -> np.ndarray:
        return np.zeros((len(texts), 2))


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (lambda: type(bert()), "the class BertForSequenceClassification itself"),
        (lambda: bert().state_dict(), "load_state_dict"),
        (lambda: (bert(), tok()), "as processor="),
        (_Predicts, "hidden states of a network.*SHAP and LIME"),
        (lambda: _Predicts().predict_proba, "hidden states of a network"),
    ],
)
def test_kind_what_is_no_network_is_told_what_to_give(given: Callable[[], Any], advice: str) -> None:
    with pytest.raises(UnsupportedTargetError, match=f"must be a torch module.*{advice}"):
        as_target(given(), tok())
