"""Many inputs, bad rows, kills, names of outputs, and what is printed or saved of them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from fault_models import SQUARE, P, T, bert, eye, pictures, tok
from torch.utils.data import DataLoader

from sidelight import Explainer, ExplainFailure, Explanation, ScorerConfig, SidelightError, read_explanations
from sidelight.cli.app import app
from sidelight.cli.outputs import free_stem
from sidelight.core.locks import hold
from sidelight.core.safe_output import for_csv, for_file_name
from sidelight.errors import ConfigError, InputError, InputTypeError, for_terminal
from sidelight.explanations.stored import StoredExplanations
from sidelight.targets import as_target
from sidelight.training.network import new_scorer


def explainer_of(model: Any, processor: Any, row: Any) -> Explainer:
    target = as_target(model, processor)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [row], ScorerConfig(decoder=SMALL[target.family])))


SMALL: dict[str, Any] = {
    "text": {"text": {"width": 8, "layers": 1, "heads": 2}},
    "image": {"image": {"channels": [4, 4]}},
}


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return explainer_of(bert(), tok(), T[0])


@pytest.fixture(scope="module")
def images() -> Explainer:
    return explainer_of(eye(), SQUARE, P[0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved scorers beside saved classifiers, of texts and of pictures."""
    place, found = tmp_path_factory.mktemp("saved"), {}
    for name, model, processor, row in (("text", bert(), tok(), T[0]), ("image", eye(), SQUARE, P[0])):
        model.save_pretrained(place / name / "model")
        explainer_of(str(place / name / "model"), processor, row).save_pretrained(place / name / "scorer")
        found[name] = place / name / "scorer"
    return found


def run(*arguments: Any) -> Any:
    """The command line, in this process; returns its exit code where it is not 0."""
    return app([str(a) for a in arguments], standalone_mode=False)


# -- many samples -------------------------------------------------------------------


ROWS = [{"text": t, "label": i % 3, "id": f"r{i}"} for i, t in enumerate(T[:7])]
SOURCES: dict[str, Callable[[], Any]] = {
    "list of texts": lambda: T[:7],
    "list of rows": lambda: ROWS,
    "frame": lambda: pd.DataFrame(ROWS),
    "filtered column": lambda: pd.DataFrame({"text": [*T[:3], *T[:7]]})[3:]["text"],
    "data set": lambda: datasets.Dataset.from_list(ROWS),
    "column of a data set": lambda: datasets.Dataset.from_list(ROWS)["text"],
    "stream": lambda: datasets.Dataset.from_list(ROWS).to_iterable_dataset(),
    "generator": lambda: (t for t in T[:7]),
    "columns": lambda: {"text": T[:7]},
    "loader": lambda: DataLoader(ROWS, batch_size=3),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", SOURCES)
def test_fault_18_explain_takes_the_usual_kinds_of_data(name: str, texts: Explainer) -> None:
    expected = [texts.explain(t).map for t in T[:7]]
    found = texts.explain(SOURCES[name](), batch_size=3)
    assert len(found) == 7
    for explanation, scores in zip(found, expected, strict=True):
        np.testing.assert_allclose(explanation.map, scores, atol=1e-5)


def test_kind_columns_of_the_user_are_kept(texts: Explainer) -> None:
    for explanation, row in zip(texts.explain(pd.DataFrame(ROWS)), ROWS, strict=True):
        assert explanation.meta["columns"] == row


def test_kind_a_folder_and_tables_explain_in_one_call(
    tmp_path: Path, texts: Explainer, images: Explainer
) -> None:
    for number, picture in enumerate(P[:3]):
        picture.save(tmp_path / f"{number}.png")
    assert len(images.explain(str(tmp_path))) == len(images.explain(tmp_path)) == 3
    pd.DataFrame({"image": [f"{i}.png" for i in range(3)], "id": [5, 6, 7]}).to_parquet(
        tmp_path / "t.parquet"
    )
    found = images.explain(tmp_path / "t.parquet")
    assert [e.meta["columns"]["id"] for e in found] == [5, 6, 7]
    np.testing.assert_allclose(found[1].map, images.explain(P[1]).map, atol=1e-5)
    pd.DataFrame(ROWS).to_csv(tmp_path / "t.csv", index=False)
    assert [e.meta["columns"]["id"] for e in texts.explain(tmp_path / "t.csv")] == [r["id"] for r in ROWS]


def test_fault_22_one_bad_row_never_costs_the_rest(texts: Explainer) -> None:
    found = texts.explain([T[0], "", T[1], None, 3, T[2]], batch_size=4, errors="skip")
    assert [bool(e) for e in found] == [True, False, True, False, False, True]
    bad = [e for e in found if isinstance(e, ExplainFailure)]
    assert [e.row for e in bad] == [1, 3, 4]
    assert "empty" in bad[0].reason
    assert "None" in bad[1].reason
    for explanation, text in zip([e for e in found if e], T[:3], strict=True):
        np.testing.assert_allclose(explanation.map, texts.explain(text).map, atol=1e-5)


def test_fault_22_rows_that_cannot_be_read_are_set_aside(texts: Explainer) -> None:
    class Rows(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            if index == 1:
                raise OSError("disk")
            return super().__getitem__(index)

    found = texts.explain(datasets_like(Rows(T[:3])), errors="skip")
    assert [bool(e) for e in found] == [True, False, True]
    assert "disk" in found[1].reason


def datasets_like(rows: Any) -> Any:
    class Data(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            return rows[index]

    return Data()


def test_fault_42_a_broken_picture_is_named_by_its_row(images: Explainer) -> None:
    with pytest.raises(InputError, match="sample 2") as caught:
        images.explain([P[0], P[1], b"not a picture"])
    assert "object at 0x" not in str(caught.value)
    with pytest.raises(InputError, match="sample 70"):
        images.explain([P[0]] * 70 + [b"not a picture"], batch_size=32)
    found = images.explain([P[0], b"not a picture", P[1]], errors="skip")
    assert [bool(e) for e in found] == [True, False, True]


def test_kind_errors_of_samples_name_them_and_keep_their_kind(texts: Explainer) -> None:
    with pytest.raises(InputTypeError, match=r"^sample 40 is not text"):
        texts.explain([T[0]] * 40 + [7], batch_size=16)
    with pytest.raises(InputTypeError, match=r"^sample 0 is not text"):
        texts.explain([7, T[0]])
    for nothing in ([], iter([]), datasets.Dataset.from_list([{"text": "a"}]).select([])):
        with pytest.raises(InputError, match="the batch is empty"):
            texts.explain(nothing)
    with pytest.raises(ConfigError, match="errors must be 'raise' or 'skip'; got 'ignore'"):
        texts.explain(T[:2], errors="ignore")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"batch_size must be"):
        texts.explain(T[:2], batch_size=0)


def test_kind_a_stream_is_explained_one_block_at_a_time(texts: Explainer) -> None:
    taken: list[int] = []

    def rows() -> Any:
        for number, text in enumerate(T):
            taken.append(number)
            yield text

    found = texts.explain_stream(rows(), batch_size=4)
    next(found)
    assert len(taken) == 4
    assert len(list(found)) == len(T) - 1
    tail = list(texts.explain_stream(iter(T), batch_size=4, first=55))
    np.testing.assert_allclose(tail[0].map, texts.explain(T[55]).map, atol=1e-5)
    assert len(tail) == 5


def test_fault_41_a_chosen_class_is_refused_in_words(texts: Explainer) -> None:
    with pytest.raises(ConfigError, match=r"predicted class only \(target='cat'\).*objective='robust'"):
        texts.explain(T[0], target="cat")


# -- tables on the command line -----------------------------------------------------


def table(path: Path, texts: list[str], **columns: list[Any]) -> Path:
    pd.DataFrame({"text": texts, **columns}).to_csv(path, index=False)
    return path


def test_fault_22_an_empty_cell_does_not_discard_a_table(tmp_path: Path, folders: dict[str, Path]) -> None:
    source = table(tmp_path / "t.csv", [*T[:9], "", T[9]], id=list(range(100, 111)))
    run("explain", folders["text"], "--csv", source, "--out", tmp_path / "out", "--batch-size", 4)
    found = pd.read_csv(tmp_path / "out" / "explanations.csv")
    assert found["row"].tolist() == [*range(9), 10]
    assert found["id"].tolist() == [*range(100, 109), 110]
    assert found["text"].tolist() == [*T[:9], T[9]]
    bad = pd.read_csv(tmp_path / "out" / "errors.csv")
    assert bad["row"].tolist() == [9]
    assert bad["id"].tolist() == [109]
    assert "empty" in bad["error"][0]
    answers = list(read_explanations(tmp_path / "out"))
    assert [bool(a) for a in answers] == [i != 9 for i in range(11)]
    explainer = Explainer.from_pretrained(folders["text"])
    for number in (0, 8, 10):
        expected = explainer.explain([*T[:9], "", T[9]][number])
        np.testing.assert_allclose(answers[number].map, expected.map, atol=1e-5)
        assert answers[number].inputs["text"] == expected.inputs["text"]
    with pytest.raises(SidelightError, match="sample 9 is empty"):
        run("explain", folders["text"], "--csv", source, "--out", tmp_path / "strict", "--strict")


def test_kind_pictures_of_a_folder_are_explained_and_read_back(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    place = tmp_path / "pictures"
    place.mkdir()
    for number, picture in enumerate(P[:5]):
        picture.save(place / f"{number}.png")
    (place / "3.png").write_bytes(b"broken")
    call = ("explain", folders["image"], "--folder", place, "--out", tmp_path / "out", "--batch-size", 2)
    run(*call)
    tables = [(tmp_path / "out" / name).read_bytes() for name in ("explanations.csv", "errors.csv")]
    run(*call)  # from what is stored, to the same digits
    assert [(tmp_path / "out" / n).read_bytes() for n in ("explanations.csv", "errors.csv")] == tables
    answers = list(read_explanations(tmp_path / "out"))
    assert [bool(a) for a in answers] == [True, True, True, False, True]
    expected = Explainer.from_pretrained(folders["image"]).explain(P[4])
    np.testing.assert_allclose(answers[4].map, expected.map, atol=1e-3)
    np.testing.assert_allclose(answers[4].inputs["image"], expected.inputs["image"], atol=1 / 254)


def test_kind_cells_that_begin_a_formula_are_made_harmless(tmp_path: Path, folders: dict[str, Path]) -> None:
    risky = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "-5", "plain"]
    table(tmp_path / "t.csv", T[:7], **{"=name": risky})
    run("explain", folders["text"], "--csv", tmp_path / "t.csv", "--out", tmp_path / "out")
    with (tmp_path / "out" / "explanations.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    assert "'=name" in lines[0]
    column = [line[lines[0].index("'=name")] for line in lines[1:]]
    assert column == ["'=1+1", "'+cmd", "'-2+3", "'@SUM(A1)", "'\tx", "-5", "plain"]


def test_kind_a_second_call_takes_up_the_first_and_other_rows_are_refused(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = table(tmp_path / "t.csv", T[:9]), tmp_path / "out"
    run("explain", folders["text"], "--csv", source, "--out", out)
    before = (out / "explanations.csv").read_bytes()
    run("explain", folders["text"], "--csv", source, "--out", out)
    assert "9 of 9 rows are explained already" in capsys.readouterr().out
    assert (out / "explanations.csv").read_bytes() == before
    table(tmp_path / "t.csv", T[1:10])
    with pytest.raises(ConfigError, match="another job"):
        run("explain", folders["text"], "--csv", source, "--out", out)
    assert (out / "explanations.csv").read_bytes() == before


def test_kind_inputs_are_never_outputs(tmp_path: Path, folders: dict[str, Path]) -> None:
    source = table(tmp_path / "explanations.csv", T[:3])
    before = source.read_bytes()
    with pytest.raises(SidelightError, match=r"choose another folder|did not write"):
        run("explain", folders["text"], "--csv", source, "--out", tmp_path)
    assert source.read_bytes() == before


COMMAND = """
import sys
sys.path.insert(0, {tests!r})
from sidelight.cli import main
sys.argv = ["sidelight", *{arguments!r}]
main()
"""


def started(*arguments: Any) -> subprocess.Popen[bytes]:
    code = COMMAND.format(tests=str(Path(__file__).parent), arguments=[str(a) for a in arguments])
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    )


def kill_at_half(out: Path, rows: int, *arguments: Any) -> int:
    """Kill the command when half of the rows are in finished parts; returns how many are."""
    process = started(*arguments)
    done = 0
    while process.poll() is None and done < rows // 2:
        manifest = out / "manifest.json"
        ends = json.loads(manifest.read_text())["ends"] if manifest.is_file() else []
        done = ends[-1] if ends else 0
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return done


def check_kill(source: Path, option: str, rows: int, scorer: Path, tmp_path: Path, batch: int) -> None:
    common = ("explain", scorer, option, source, "--batch-size", batch, "--block-rows", 4 * batch)
    done = kill_at_half(tmp_path / "killed", rows, *common, "--out", tmp_path / "killed")
    assert rows // 2 <= done < rows, "the kill came too late for this test to mean anything"
    assert len(list(read_explanations(tmp_path / "killed"))) >= done  # what was finished is there
    run(*common, "--out", tmp_path / "killed")
    run(*common, "--out", tmp_path / "whole")
    for name in ("explanations.csv", *(f"parts/{p.name}" for p in (tmp_path / "whole" / "parts").iterdir())):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.soak
def test_fault_12_a_killed_table_goes_on(tmp_path: Path, folders: dict[str, Path]) -> None:
    source = table(tmp_path / "t.csv", [f"{t} {i}" for i in range(5) for t in T])
    check_kill(source, "--csv", 300, folders["text"], tmp_path, 2)


@pytest.mark.soak
def test_fault_12_a_killed_table_of_a_thousand_texts_and_a_folder_of_pictures_go_on(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    source = table(tmp_path / "t.csv", [f"{t} {i}" for i in range(17) for t in T][:1000])
    (tmp_path / "texts").mkdir()
    check_kill(source, "--csv", 1000, folders["text"], tmp_path / "texts", 4)
    place = tmp_path / "pictures"
    place.mkdir()
    for number, picture in enumerate(pictures(200)):
        picture.save(place / f"{number:03d}.png")
    (tmp_path / "images").mkdir()
    check_kill(place, "--folder", 200, folders["image"], tmp_path / "images", 2)


PEAK = """
import resource, sys
sys.path.insert(0, {tests!r})
from sidelight.cli import main
sys.argv = ["sidelight", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fault_12_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetForImageClassification(config).save_pretrained(tmp_path / "model")
    from sidelight import ImageTransform

    explainer_of(str(tmp_path / "model"), ImageTransform((224, 224)), P[0]).save_pretrained(
        tmp_path / "scorer"
    )
    pictures(1, side=224)[0].save(tmp_path / "a.png")
    peaks = []
    for rows in (40, 160, 640):
        pd.DataFrame({"image": [str(tmp_path / "a.png")] * rows}).to_csv(
            tmp_path / f"{rows}.csv", index=False
        )
        arguments = [
            "explain",
            tmp_path / "scorer",
            "--csv",
            tmp_path / f"{rows}.csv",
            "--out",
            tmp_path / f"o{rows}",
        ]
        code = PEAK.format(tests=str(Path(__file__).parent), arguments=[str(a) for a in arguments])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split("peak ")[1]) / 1024)
    print("peak MiB for 40, 160, 640 rows:", peaks)
    assert peaks[2] < 1.1 * peaks[1]


def test_kind_columns_that_clash_keep_the_users_name(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    source = table(tmp_path / "t.csv", T[:3], label=["a", "b", "c"], sidelight_row=[7, 8, 9])
    run("explain", folders["text"], "--csv", source, "--out", tmp_path / "out", "--json", tmp_path / "r.json")
    found = pd.read_csv(tmp_path / "out" / "explanations.csv")
    explainer = Explainer.from_pretrained(folders["text"])
    said = [explainer.explain(t).label for t in T[:3]]
    assert found["label"].tolist() == ["a", "b", "c"]
    assert found["sidelight_label"].tolist() == said
    assert found["sidelight_row"].tolist() == [7, 8, 9]
    assert "sidelight_label" in capsys.readouterr().out
    rows = json.loads((tmp_path / "r.json").read_text())
    assert [r["label"] for r in rows] == said
    assert [r["columns"]["label"] for r in rows] == ["a", "b", "c"]


def test_kind_lines_that_are_no_rows_are_set_aside(tmp_path: Path, folders: dict[str, Path]) -> None:
    (tmp_path / "t.csv").write_text(f"text,id\n{T[0]},0\n{T[1]},1,too,many\n{T[2]},2\n", encoding="utf-8")
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"text": T[0], "id": 0}) + "\n{broken\n" + json.dumps({"text": T[2], "id": 2}) + "\n"
    )
    for option, name in (("--csv", "t.csv"), ("--jsonl", "t.jsonl")):
        out = tmp_path / name.replace(".", "_")
        run("explain", folders["text"], option, tmp_path / name, "--out", out)
        assert pd.read_csv(out / "explanations.csv")["id"].tolist() == [0, 2]
        assert pd.read_csv(out / "errors.csv")["row"].tolist() == [1]


def test_kind_a_table_without_a_column_to_explain_is_refused_first(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    pd.DataFrame({"comment": T[:3], "id": [1, 2, 3]}).to_csv(tmp_path / "t.csv", index=False)
    common = ("explain", folders["text"], "--csv", tmp_path / "t.csv", "--out", tmp_path / "out")
    with pytest.raises(InputError, match=r"comment, id.*--column"):
        run(*common)
    run(*common, "--column", "comment")
    assert pd.read_csv(tmp_path / "out" / "explanations.csv")["comment"].tolist() == T[:3]
    with pytest.raises(InputError, match=r"no column 'coment'.*'comment'"):
        run(*common[:-1], tmp_path / "o", "--column", "coment")
    with pytest.raises(InputError, match="--csv: there is no file"):
        run("explain", folders["text"], "--csv", tmp_path / "none.csv")


def test_kind_a_table_of_which_no_row_is_explained_is_an_error(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    source = table(tmp_path / "t.csv", [" ", " "], id=[1, 2])
    with pytest.raises(InputError, match="none of the 2 rows"):
        run("explain", folders["text"], "--csv", source, "--out", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out" / "errors.csv")["id"].tolist() == [1, 2]


def test_kind_a_column_of_pictures_beside_the_table(tmp_path: Path, folders: dict[str, Path]) -> None:
    P[0].save(tmp_path / "a.png")
    pd.DataFrame({"snapshot": ["a.png", "gone.png"], "id": [1, 2]}).to_parquet(tmp_path / "t.parquet")
    call = ("explain", folders["image"], "--parquet", tmp_path / "t.parquet", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="--column"):
        run(*call)
    run(*call, "--column", "snapshot")
    assert pd.read_csv(tmp_path / "out" / "explanations.csv")["id"].tolist() == [1]
    assert "gone.png" in pd.read_csv(tmp_path / "out" / "errors.csv")["error"][0]


def test_kind_a_folder_may_hold_the_output_and_folders_of_pictures(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    (tmp_path / "sub").mkdir()
    P[0].save(tmp_path / "a.png")
    P[1].save(tmp_path / "sub" / "a.png")
    out = tmp_path / "explanations"
    run("explain", folders["image"], tmp_path / "a.png", "--out", out)  # its pictures are no inputs
    for _ in range(2):
        run("explain", folders["image"], "--folder", tmp_path, "--out", out)
        found = pd.read_csv(out / "explanations.csv")["image"].tolist()
        assert found == [str(tmp_path / "a.png"), str(tmp_path / "sub" / "a.png")]
    P[2].save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="content of the source"):
        run("explain", folders["image"], "--folder", tmp_path, "--out", out)


def test_kind_one_bad_input_of_several_never_costs_the_rest(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    P[0].save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    P[1].save(tmp_path / "c.png")
    names = [tmp_path / f"{n}.png" for n in "abc"]
    json_file = tmp_path / "r.json"
    assert run("explain", folders["image"], *names, "--out", tmp_path / "out", "--json", json_file) == 2
    assert sorted(p.name for p in (tmp_path / "out").glob("*.json")) == ["a.json", "c.json"]
    assert len(json.loads((tmp_path / "r.json").read_text())) == 2
    assert "b.png" in capsys.readouterr().err
    with pytest.raises(SidelightError):
        run("explain", folders["image"], *names[1:], "--out", tmp_path / "strict", "--strict")
    assert not (tmp_path / "strict" / "c.json").exists()


def test_kind_answers_of_another_scorer_and_of_another_folder_stay(
    tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folders["image"], tmp_path / "other")
    out = tmp_path / "out"
    for number, place in enumerate(("one", "two")):
        (tmp_path / place).mkdir()
        P[number].save(tmp_path / place / "a.png")
        monkeypatch.chdir(tmp_path / place)  # the same name, and another picture
        run("explain", folders["image"], "a.png", "--out", out)
    run("explain", tmp_path / "other", "a.png", "--out", out)
    assert sorted(p.name for p in out.glob("*.json")) == ["a-2.json", "a-3.json", "a.json"]


def test_kind_a_name_of_no_file_is_said_to_be_explained_as_words(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run("explain", folders["text"], "reviw.txt", "a fine film.", "--out", tmp_path / "out")
    assert capsys.readouterr().out.count("there is no such file") == 1
    with pytest.raises(InputError, match="missing"):
        run("explain", folders["image"], tmp_path / "missing.png", "--out", tmp_path / "out")


def test_kind_inputs_of_the_model_are_skipped_row_by_row(images: Explainer) -> None:
    pixels = torch.stack([SQUARE(p) for p in P[:5]])
    expected = images.explain({"pixel_values": pixels.clone()})
    pixels[3, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match=r"sample 3\b"):
        images.explain({"pixel_values": pixels}, batch_size=2)
    found = images.explain({"pixel_values": pixels}, batch_size=2, errors="skip")
    assert [bool(e) for e in found] == [True, True, True, False, True]
    np.testing.assert_allclose(found[4].map, expected[4].map, atol=1e-5)
    with pytest.raises(InputError, match="differ in their number"):
        images.explain({"pixel_values": pixels, "labels": torch.zeros(4)})


@pytest.mark.soak
def test_kind_two_calls_at_once_in_one_folder(tmp_path: Path, folders: dict[str, Path]) -> None:
    calls = [started("explain", folders["text"], t, "--out", tmp_path / "out") for t in T[:2]]
    assert [c.wait() for c in calls] == [0, 0]
    found = {"".join(Explanation.load(p).inputs["text"]) for p in (tmp_path / "out").glob("*.json")}
    assert found == set(T[:2])
    with hold(tmp_path / "out", "test"):
        other = started(
            "explain", folders["text"], "--csv", table(tmp_path / "t.csv", T[:2]), "--out", tmp_path / "out"
        )
        said = other.communicate()[1].decode()
        assert other.returncode == 2
        assert "is in use" in said


# -- one input after another --------------------------------------------------------


def test_kind_results_of_other_inputs_and_files_of_others_stay(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    out = tmp_path / "out"
    run("explain", folders["text"], T[0], "--out", out)
    first = (out / "input-0.json").read_bytes()
    run("explain", folders["text"], T[1], "--out", out)
    assert (out / "input-0.json").read_bytes() == first
    assert (out / "input-0-2.json").is_file()
    run("explain", folders["text"], T[1], "--out", out)  # the same again takes its own place
    assert not (out / "input-0-3.json").exists()
    (out / "input-1.png").write_text("mine")
    run("explain", folders["text"], T[2], T[3], "--out", out)
    assert (out / "input-1.png").read_text() == "mine"
    assert (out / "input-1-2.png").is_file()


def test_kind_names_that_would_fall_together_are_kept_apart(tmp_path: Path, folders: dict[str, Path]) -> None:
    place, out = tmp_path / "in", tmp_path / "out"
    (place / "sub").mkdir(parents=True)
    P[0].save(place / "a.jpg")
    P[1].save(place / "a.png.jpg")
    P[2].save(place / "A.png")
    P[3].save(place / "sub" / "a.jpg")
    names = [place / "a.jpg", place / "a.png.jpg", place / "A.png", place / "sub" / "a.jpg"]
    run("explain", folders["image"], *names, "--out", out)
    assert len({p.name.lower() for p in out.glob("*.json")}) == 4
    sources = {json.loads(p.read_text())["meta"]["source"][0] for p in out.glob("*.json")}
    assert sources == {str(n) for n in names}


def test_kind_an_input_in_the_output_folder_is_not_overwritten(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    out = tmp_path / "explanations"
    out.mkdir()
    P[0].save(out / "a.png")
    before = (out / "a.png").read_bytes()
    for _ in range(2):
        run("explain", folders["image"], out / "a.png", "--out", out)
    assert (out / "a.png").read_bytes() == before
    run("explain", folders["image"], out / "a-2.png", "--out", out)  # a picture of ours as an input
    assert Explanation.load(out / "a-2.json").meta["source"] == [str(out / "a.png")]


def test_kind_a_text_file_is_read_as_text(
    tmp_path: Path,
    folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # the words of a long path would be cut
    (tmp_path / "review.txt").write_text(T[0] + "\n", encoding="utf-8")
    run("explain", folders["text"], tmp_path / "review.txt", "--out", tmp_path / "out")
    assert "read as text" in capsys.readouterr().out
    assert "".join(Explanation.load(tmp_path / "out" / "review.json").inputs["text"]) == T[0]
    run("explain", folders["text"], "review.txt", "--as-text", "--out", tmp_path / "out")
    assert "".join(Explanation.load(tmp_path / "out" / "input-0.json").inputs["text"]).endswith("review.txt")


@pytest.mark.parametrize("text", ["great \ud83d film", "a\x00b film", "\u202eabc film", "a\x1b[31mred film"])
def test_fault_20_every_text_that_is_explained_is_saved(text: str, tmp_path: Path, texts: Explainer) -> None:
    explanation = texts.explain(text)
    explanation.save(tmp_path / "x")
    explanation.save_html(tmp_path / "x.html")
    again = Explanation.load(tmp_path / "x.json")
    assert again.inputs == explanation.inputs
    np.testing.assert_allclose(again.map, explanation.map, atol=1e-6)
    (tmp_path / "x.html").read_text(encoding="utf-8")


def test_fault_20_arguments_that_are_no_utf_8_are_explained(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "explain",
        folders["text"],
        "caf\udce9 film",
        "--out",
        tmp_path / "out",
        "--json",
        tmp_path / "rows.json",
    )
    assert "\\udce9" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())[0]["input"] == "caf\udce9 film"
    name = os.fsdecode(b"caf\xe9.png")
    P[0].save(tmp_path / "plain.png")
    os.rename(tmp_path / "plain.png", tmp_path / name)
    run("explain", folders["image"], tmp_path / name, "--out", tmp_path / "pictures")
    assert list((tmp_path / "pictures").glob("*.png"))


def test_fault_20_pictures_whose_names_are_no_utf_8_are_explained_from_a_folder(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    P[0].save(tmp_path / "plain.png")
    place = tmp_path / os.fsdecode(b"pictures-\xe9")
    place.mkdir()
    os.rename(tmp_path / "plain.png", place / os.fsdecode(b"caf\xe9.png"))
    for _ in range(2):
        run("explain", folders["image"], "--folder", place, "--out", tmp_path / "out")
    (answer,) = read_explanations(tmp_path / "out")
    assert answer.meta["columns"]["image"] == str(place / os.fsdecode(b"caf\xe9.png"))
    assert "caf\ufffd" in (tmp_path / "out" / "explanations.csv").read_text(encoding="utf-8")


def test_kind_what_is_stored_is_read_back_whatever_it_holds(tmp_path: Path) -> None:
    hostile = "\x1b[2J\ud800\x00=1"
    given = Explanation(
        {"text": [0.1, 1.0]},
        {"text": [hostile, "b"]},
        0,
        hostile,
        0.5,
        None,
        hostile,
        hostile,
        {"columns": {"a": hostile}},
    )
    stored = StoredExplanations.open(tmp_path / "out", {"source": hostile})
    stored.add([given, ExplainFailure(1, hostile, {"a": hostile})])
    (again, failure) = StoredExplanations.open(tmp_path / "out", {"source": hostile})
    assert again.to_dict() == given.to_dict()
    assert failure == ExplainFailure(1, hostile, {"a": hostile})
    assert not set("\x1b\x00\ud800") & set(repr(again))


def test_kind_terminal_codes_are_written_out(
    tmp_path: Path, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run("explain", folders["text"], "good \x1b]0;title\x07 \x1b[2J film \u202e", "--out", tmp_path / "out")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert "\\x1b]0;title\\x07" in printed


# -- harmless texts -----------------------------------------------------------------


def test_kind_texts_for_a_terminal() -> None:
    assert for_terminal("héllo 日本 😀") == "héllo 日本 😀"
    assert for_terminal("a\nb\tc\rd") == "a\\nb\\tc\\rd"
    assert for_terminal("\x9b31m \u202e \ud800 \x7f") == "\\x9b31m \\u202e \\ud800 \\x7f"


def test_kind_cells_for_a_table() -> None:
    assert [for_csv(v) for v in (1, -2.5, None, True, "-2.5", "+1e3")] == [
        1,
        -2.5,
        None,
        True,
        "-2.5",
        "+1e3",
    ]
    assert [for_csv(v) for v in ("=a", "+a", "-a", "@a", "\ta", "\ra", "＝a")] == [
        "'=a",
        "'+a",
        "'-a",
        "'@a",
        "'\ta",
        "'\ra",
        "'＝a",
    ]
    assert for_csv("a\ud800b\x00") == "a\ufffdb\ufffd"


def test_kind_names_for_files() -> None:
    assert for_file_name("../../etc/passwd") == "_.._etc_passwd"
    assert for_file_name("a.png") == "a_png"
    assert for_file_name("con") == "_con"
    assert for_file_name("...") == "input"
    assert for_file_name("é" * 500) == "é" * 60
    assert "\x1b" not in for_file_name("a\x1b[31m/b")


def test_kind_a_name_with_a_dot_keeps_it(tmp_path: Path) -> None:
    assert free_stem(tmp_path, "photo.v2", [["x"], None]) == tmp_path / "photo.v2"


def test_kind_the_number_of_a_row_without_an_id_is_no_id_beside_others(
    texts: Explainer, tmp_path: Path
) -> None:
    ids = [2, "b", None, "", 4, 5]
    rows = [{"id": own, "text": text} for own, text in zip(ids, T, strict=False)]
    rows[5]["text"] = ""  # cannot be explained, and has the id that is its number
    found = texts.explain_dataset(rows, tmp_path / "out")
    assert found["2"].inputs == found[0].inputs  # row 2 has no id
    assert found["4"].inputs == found[4].inputs
    assert isinstance(found["5"], ExplainFailure)
    with pytest.raises(InputError, match=r"no row .* has the id '3'"):
        found["3"]
