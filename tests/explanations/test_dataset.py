"""``explain_dataset``: every kind of source, parts that other tools read, bad rows, another job, and a real kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ExplainFailure, Explanation, ScorerConfig, read_explanations
from sidelight.errors import CheckpointError, ConfigError, InputError
from sidelight.explanations.sorted_blocks import batches_of_block, blocks_of, length_of
from sidelight.explanations.stored import StoredExplanations
from sidelight.rows.row import Rows
from sidelight.rows.sources import rows_of
from sidelight.rows.table_blocks import BLOCK, ParquetRows
from sidelight.rows.table_source import open_source
from sidelight.targets import as_target, lending
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

ROWS = [f"{TEXTS[i % 3]} {' '.join(['dull'] * (i * 7 % 11))}".strip() for i in range(40)]


@pytest.fixture(scope="module")
def texts() -> Explainer:
    target = as_target(*make_pair("bert"), class_names=["bad", "fair", "good"])
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig(by_class=True)))


@pytest.fixture(scope="module")
def images() -> Explainer:
    target = as_target(classifier(), TRANSFORM)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [corner_images(1)[0][0]], ScorerConfig()))


def same(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.label == other.label
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
        for name, scores in other.scores.items():
            np.testing.assert_allclose(one.scores[name], scores, atol=1e-3)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a job but the two that hold digests of the folder or tell of a lock."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".sidelight"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(files)}


# -- sources --------------------------------------------------------------------------------


SOURCES: dict[str, Callable[[Path], Any]] = {
    "a list": lambda f: list(ROWS),
    "rows": lambda f: [{"text": t, "id": f"r{i}"} for i, t in enumerate(ROWS)],
    "a generator": lambda f: (t for t in ROWS),
    "a data frame": lambda f: pd.DataFrame({"text": ROWS}),
    "an Arrow table": lambda f: pa.table({"text": ROWS}),
    "a Dataset": lambda f: datasets.Dataset.from_dict({"text": ROWS}),
    "an IterableDataset": lambda f: datasets.Dataset.from_dict({"text": ROWS}).to_iterable_dataset(),
    "CSV": lambda f: written(f / "t.csv"),
    "TSV": lambda f: written(f / "t.tsv"),
    "JSON lines": lambda f: written(f / "t.jsonl"),
    "Parquet": lambda f: str(written(f / "t.parquet")),
}


def written(path: Path) -> Path:
    frame = pd.DataFrame({"text": ROWS, "id": [f"r{i}" for i in range(len(ROWS))]})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("kind", SOURCES)
def test_each_kind_of_source_and_the_same_call_again(kind: str, texts: Explainer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = texts.explain_dataset(SOURCES[kind](tmp_path), out, block_rows=16, batch_size=4)
    assert [p.name for p in sorted((out / "parts").iterdir())] == [f"part-0000{n}.parquet" for n in range(3)]
    same(list(found), texts.explain(ROWS))
    before = tree(out)
    again = texts.explain_dataset(SOURCES[kind](tmp_path), out, block_rows=16, batch_size=4)
    assert len(again) == len(ROWS)
    assert tree(out) == before


def test_a_folder_of_pictures_and_one_of_classes(images: Explainer, tmp_path: Path) -> None:
    from PIL import Image

    pixels = corner_images(10, seed=2)[0]
    for number, picture in enumerate(pixels):
        for place in (tmp_path / "flat", tmp_path / "classes" / str(number // 5)):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"{number}.png")
    for place in ("flat", "classes"):
        found = images.explain_dataset(
            tmp_path / place, tmp_path / f"{place}-out", block_rows=4, batch_size=2
        )
        same(list(found), images.explain(list(pixels)))


def test_columns_are_chosen(texts: Explainer, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"said": ROWS[:5], "by": ["a"] * 5}).to_csv(path, index=False)
    found = texts.explain_dataset(path, tmp_path / "out", columns=["said"])
    assert [e.meta["columns"]["by"] for e in found] == ["a"] * 5
    rows = [{"said": t} for t in ROWS[:5]] + [{"other": "x"}]
    found = texts.explain_dataset(iter(rows), tmp_path / "stream", columns=["said"])
    assert [bool(e) for e in found] == [True] * 5 + [False]
    assert "no column 'said'" in found[5].reason
    with pytest.raises(InputError, match="has no column 'sad'"):
        texts.explain_dataset(path, tmp_path / "x", columns=["sad"])
    with pytest.raises(ConfigError, match="list of names"):
        texts.explain_dataset(path, tmp_path / "x", columns="said")


# -- what is written ---------------------------------------------------------------------------


def test_an_answer_is_found_by_the_id_of_its_row(texts: Explainer, tmp_path: Path) -> None:
    rows = [{"text": t, "id": ["twice", f"r{i}"][i != 3 and i != 20]} for i, t in enumerate(ROWS)]
    found = texts.explain_dataset(rows, tmp_path / "t", block_rows=16)
    for number in (0, 17, len(rows) - 1):
        assert found[f"r{number}"].meta["columns"]["id"] == f"r{number}"
        np.testing.assert_array_equal(found[f"r{number}"].map, found[number].map)
    with pytest.raises(InputError, match="rows 3, 20 all have the id 'twice'"):
        found["twice"]
    with pytest.raises(InputError, match=r"no row .* has the id 'r3'"):
        found["r3"]
    unnamed = texts.explain_dataset(ROWS[:3], tmp_path / "unnamed")
    assert unnamed["2"].map.tolist() == unnamed[2].map.tolist()


def test_other_tools_read_the_parts(texts: Explainer, images: Explainer, tmp_path: Path) -> None:
    rows = [{"text": t, "id": f"r{i}"} for i, t in enumerate(ROWS)]
    found = texts.explain_dataset(rows, tmp_path / "t", block_rows=16, target="good")
    expected = texts.explain(ROWS, target="good")
    table = pq.read_table(tmp_path / "t" / "parts" / "part-00001.parquet").to_pylist()
    assert [row["id"] for row in table] == [f"r{i}" for i in range(16, 32)]
    assert [row["row"] for row in table] == list(range(16, 32))
    for row, explanation in zip(table, expected[16:32], strict=True):
        assert (row["label"], row["explained_label"]) == (explanation.label, "good")
        assert row["text_words"] == explanation.inputs["text"]
        np.testing.assert_allclose(row["text_scores"], explanation.map, atol=1e-5)
        best = row["text_words"][int(np.argmax(row["text_scores"]))].strip()
        assert row["text_top"][0].rpartition(" ")[0] == best
    frame = found.to_pandas(["id", "label", "probability"])
    assert list(frame.columns) == ["id", "label", "probability"]
    assert frame["id"].tolist() == [row["id"] for row in rows]
    with pytest.raises(InputError, match="no column 'colour'"):
        found.to_arrow(["colour"])
    pixels = list(corner_images(5, seed=2)[0])
    shown = images.explain_dataset(pixels, tmp_path / "i", block_rows=2)
    whole = shown.to_arrow()
    assert whole.schema.field("image_scores").type == pa.list_(pa.float16())
    assert whole["image_shape"].to_pylist() == [[16, 16]] * 5
    first = np.array(whole["image_scores"][0].as_py()).reshape(16, 16)
    np.testing.assert_allclose(first, images.explain(pixels[0]).map, atol=1e-3)
    same([shown[number] for number in (4, 0, 3)], images.explain([pixels[n] for n in (4, 0, 3)]))
    with pytest.raises(InputError, match="rows 0 to 4"):
        shown[5]


def test_bad_rows_go_to_a_table_of_their_own(texts: Explainer, tmp_path: Path) -> None:
    rows: list[Any] = [{"text": t, "note": f"=n{i}"} for i, t in enumerate(ROWS[:9])]
    rows[3], rows[7] = {"text": "", "note": "empty"}, {"text": None, "note": "none"}
    found = texts.explain_dataset(rows, tmp_path / "out", block_rows=4, batch_size=2)
    assert [number for number, answer in enumerate(found) if not answer] == [3, 7]
    assert [failure.row for failure in found.errors()] == [3, 7]
    bad = pd.read_csv(tmp_path / "out" / "errors.csv")
    assert bad[["row", "note"]].to_numpy().tolist() == [[3, "empty"], [7, "none"]]
    assert "empty" in bad["error"][0]
    good = pd.read_csv(tmp_path / "out" / "explanations.csv")
    assert good["row"].tolist() == [0, 1, 2, 4, 5, 6, 8]
    assert good["note"][0] == "'=n0"
    table = found.to_arrow(["row", "error"]).to_pylist()
    assert [row["row"] for row in table if row["error"]] == [3, 7]
    with pytest.raises(InputError, match="sample 3 is empty"):
        texts.explain_dataset(rows, tmp_path / "strict", block_rows=8, batch_size=8, strict=True)
    with pytest.raises(InputError, match="an earlier call left out: 2"):
        texts.explain_dataset(rows, tmp_path / "out", block_rows=4, batch_size=2, strict=True)
    with pytest.raises(InputError, match="none of the 2 rows"):
        texts.explain_dataset([rows[3], rows[7]], tmp_path / "none")


def test_a_bad_line_of_a_table_is_an_error_of_its_row(texts: Explainer, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "good"}\n{"text": \n{"text": "dull"}\n')
    found = list(texts.explain_dataset(tmp_path / "t.jsonl", tmp_path / "out"))
    assert [type(answer) for answer in found] == [Explanation, ExplainFailure, Explanation]
    assert "no JSON" in found[1].reason


def test_another_job_is_refused(texts: Explainer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    texts.explain_dataset(ROWS[:5], out)
    for rows, options in ((ROWS[1:6], {}), (ROWS[:5], {"target": "good"}), (iter(ROWS[:5]), {})):
        with pytest.raises(ConfigError, match="another job"):
            texts.explain_dataset(rows, out, **options)
    with pytest.raises(ConfigError, match="one class"):
        texts.explain_dataset(ROWS[:2], tmp_path / "x", target=["good", "bad"])
    with pytest.raises(InputError, match="block_rows must be"):
        texts.explain_dataset(ROWS[:2], tmp_path / "x", block_rows=0)
    with pytest.raises(InputError, match="no rows"):
        texts.explain_dataset([], tmp_path / "x")
    source = written(tmp_path / "manifest.jsonl").rename(tmp_path / "errors.csv")
    with pytest.raises(CheckpointError, match="would be overwritten"):
        texts.explain_dataset(source, tmp_path)


def test_a_job_whose_labels_or_options_changed_since_is_refused(tmp_path: Path) -> None:
    """Otherwise the rows before a kill would have other labels than those after it."""

    def explainer(**options: Any) -> Explainer:
        target = as_target(*make_pair("bert"), **options)
        torch.manual_seed(0)
        return Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig(by_class=True)))

    out = tmp_path / "out"
    explainer(class_names=["bad", "fair", "good"]).explain_dataset(ROWS[:5], out)
    for changed in ({"class_names": ["bad", "fair", "great"]}, {"max_length": 4}, {"output": "labels"}):
        with pytest.raises(ConfigError, match="another job"):
            explainer(**{"class_names": ["bad", "fair", "good"], **changed}).explain_dataset(ROWS[:5], out)
    renamed = explainer()
    renamed.target.model.config.id2label = {0: "bad", 1: "fair", 2: "great"}
    with pytest.raises(ConfigError, match="different labels"):
        renamed.explain_dataset(ROWS[:5], out)
    again = explainer(class_names=["bad", "fair", "good"], output="logits")
    same(list(again.explain_dataset(ROWS[:5], out)), again.explain(ROWS[:5]))
    earlier = StoredExplanations.open(
        tmp_path / "earlier", {"source": "a"}
    )  # which kept neither labels nor options
    earlier.add(again.explain(ROWS[:2]))
    about = {"source": "a", "options": {"max_length": 4}, "labels": ["bad"]}
    assert StoredExplanations.open(tmp_path / "earlier", about).finished == 2


# -- blocks ------------------------------------------------------------------------------------


def test_a_block_goes_through_the_model_by_length() -> None:
    found = [list(batches_of_block(block, 4, "skip", True)) for block in blocks_of(Rows(ROWS), 16)]
    numbers = [sorted(n for batch in own for n in batch.numbers) for own in found]
    assert numbers == [list(range(16)), list(range(16, 32)), list(range(32, 40))]
    assert [[batch.last for batch in own] for own in found] == [[False] * 3 + [True]] * 2 + [[False, True]]
    assert all(batch.rows == [ROWS[n] for n in batch.numbers] for own in found for batch in own)
    lengths = [[length_of(row) for row in batch.rows] for batch in found[0]]
    assert lengths == [sorted(length_of(t) for t in ROWS[:16])[i : i + 4] for i in range(0, 16, 4)]


def test_rows_of_parquet_are_read_in_blocks_and_in_any_order(tmp_path: Path) -> None:
    pd.DataFrame({"n": range(1000)}).to_parquet(tmp_path / "t.parquet", row_group_size=300)
    rows = ParquetRows(tmp_path / "t.parquet", block=64)
    assert len(rows) == 1000
    assert [rows[n]["n"] for n in (0, 63, 64, 999, 5, 700, 699)] == [0, 63, 64, 999, 5, 700, 699]
    assert len(rows._rows) <= 64
    with pytest.raises(IndexError):
        rows[1000]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "csv.gz", "jsonl.gz"])
def test_tables_of_text_are_read_in_blocks(ending: str, tmp_path: Path) -> None:
    path, count = tmp_path / f"t.{ending}", 3 * BLOCK + 5
    frame = pd.DataFrame({"text": [f'"{n}",\n' if n % 7 else "NA" for n in range(count)], "n": range(count)})
    if "jsonl" in ending:
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in ending else ",")
    rows = open_source(path, "jsonl" if "jsonl" in ending else "csv", tmp_path)
    expected = rows_of(path)
    assert len(rows) == len(expected) == count
    for number in (0, 1, count - 1, 5, BLOCK, BLOCK - 1, *range(BLOCK - 2, count)):
        assert rows[number] == expected[number]
    assert len(rows.base._rows) <= BLOCK
    with pytest.raises(IndexError):
        rows[count]


def test_a_line_with_too_many_cells_is_an_error_of_its_row(tmp_path: Path) -> None:
    lines = [f"text {n},{n}" for n in range(2 * BLOCK)]
    lines[BLOCK + 3] += ",more"
    (tmp_path / "t.csv").write_text("\n".join(["text,n", *lines[:9], "", *lines[9:]]))
    rows = open_source(tmp_path / "t.csv", "csv", tmp_path)
    assert (len(rows), rows[0], rows[2 * BLOCK - 1]["n"]) == (2 * BLOCK, {"text": "text 0", "n": "0"}, "511")
    with pytest.raises(InputError, match=f"row {BLOCK + 3} of the table has 3 cells"):
        rows[BLOCK + 3]
    assert rows[BLOCK + 4]["text"] == f"text {BLOCK + 4}"


def test_tables_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("text\ncafé\n".encode("latin-1"))
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("text;text\na;b\n")
    (tmp_path / "d.jsonl").write_bytes(b"\xff\xfe")
    for name, told in {"a": "UTF-8", "b": "cannot read", "d": "as JSON lines"}.items():
        path = next(tmp_path.glob(f"{name}.*"))
        with pytest.raises(InputError, match=told):
            open_source(path, path.suffix[1:], tmp_path)
    assert open_source(tmp_path / "c.csv", "csv", tmp_path)[0] == {"text": "a", "text.1": "b"}


def test_the_model_is_frozen_once_a_job(
    texts: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    own = lending._freeze
    monkeypatch.setattr(lending, "_freeze", lambda *args: (frozen.append(1), own(*args)))
    model = texts.target.model.train()
    texts.explain_dataset(ROWS[:24], tmp_path / "out", block_rows=8, batch_size=2)
    assert len(frozen) == 2  # for the answers to the first rows, and for all passes of the job
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    model.eval()


@pytest.mark.parametrize("place", [4, 23])
def test_a_job_that_fails_gives_the_model_back_at_once(texts: Explainer, tmp_path: Path, place: int) -> None:
    model, threads = texts.target.model.train(), set(threading.enumerate())
    rows = [*ROWS[:place], "", *ROWS[place:24]]
    with pytest.raises(InputError, match=f"sample {place}") as error:  # it holds the frames of the job
        texts.explain_dataset(rows, tmp_path / "out", block_rows=8, batch_size=2, strict=True)
    assert model.training
    assert set(threading.enumerate()) == threads
    assert error
    model.eval()


# -- kills -------------------------------------------------------------------------------------

WORKER = """
import sys
from sidelight import Explainer
explainer = Explainer.from_pretrained({scorer!r})
explainer.explain_dataset({source!r}, sys.argv[1], block_rows=8, batch_size=4)
"""


@pytest.mark.slow
def test_what_a_kill_left_half_written_is_removed_and_nothing_else(texts: Explainer, tmp_path: Path) -> None:
    texts.explain_dataset(ROWS, tmp_path / "out", block_rows=8)
    parts = tmp_path / "out" / "parts"
    left = [
        parts / ".part-00004.parquet.2e189252.tmp",
        parts.parent / ".manifest.json.0123abcd.tmp",
        parts.parent / ".explanations.csv.0123abcd.tmp",
    ]
    others = [
        parts / "part-00004.tmp",
        parts / ".notes.2e189252.tmp",
        parts.parent / ".part-00004.parquet.tmp",
    ]
    for path in (*left, *others):
        path.write_text("half")
    texts.explain_dataset(ROWS, tmp_path / "out", block_rows=8)
    assert [p for p in left if p.exists()] == []
    assert [p for p in others if not p.exists()] == []


def test_a_job_killed_at_any_moment_ends_with_the_same_bytes(tmp_path: Path) -> None:
    model, tokenizer = make_pair("bert")
    model.save_pretrained(tmp_path / "model")
    target = as_target(str(tmp_path / "model"), tokenizer)
    explainer = Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig()))
    scorer, source = explainer.save_pretrained(tmp_path / "s"), tmp_path / "t.csv"
    pd.DataFrame({"text": [f"{t} {i}" for i in range(8) for t in ROWS] + [""]}).to_csv(source, index=False)
    code = WORKER.format(scorer=str(scorer), source=str(source))

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(out)], stderr=subprocess.PIPE, env={**os.environ}
        )

    whole, killed = start(tmp_path / "whole"), tmp_path / "killed"
    assert whole.wait(120) == 0, whole.stderr
    ends = []
    for least in (1, 12, 25):
        process = start(killed)
        done = 0
        while process.poll() is None and done < least:
            manifest = killed / "manifest.json"
            done = len(json.loads(manifest.read_text())["ends"]) if manifest.is_file() else 0
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=60)[1].decode()
        assert process.returncode == -signal.SIGKILL, f"the kill came too late to mean anything: {said}"
        ends.append(done)
        assert len(read_explanations(killed)) >= 8 * done  # what was finished is there
    assert start(killed).wait(120) == 0
    assert ends == sorted(ends)
    assert len(read_explanations(killed)) == 321
    one, other = tree(killed), tree(tmp_path / "whole")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
