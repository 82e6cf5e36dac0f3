"""Files of the version before modules moved into rooms load, give the same numbers and go on.

`tests/fixtures/saved_before_the_rooms/make.py` tells how they were made. They lie in one archive, because many of them
are small and alike.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from cli_tools import sidelight
from sidelight import Explainer, Explanation, read_explanations
from sidelight.explanations.blocks import ExplainFailure
from sidelight.explanations.stored import LATER, StoredExplanations
from sidelight.lab.evaluation.store import PartStore
from sidelight.lab.runs.run import Run
from sidelight.training.identity import ANSWERS, PROCESSES, differences
from sidelight.training.settings import NEW, RETIRED
from test_saved_by_0_1 import MODELS, ROUNDING

ARCHIVE = Path(__file__).parent / "fixtures" / "saved_before_the_rooms" / "saved.tar.xz"
#: the folder in which the files were made; some of them remember it
MADE_IN = "/srv/saved"
with tarfile.open(ARCHIVE) as _archive:
    EXPECTED = json.load(_archive.extractfile("expected.json"))  # type: ignore[arg-type]
#: Weights whose gradient is nothing but rounding, of which Adam makes steps: a constant before a norm or a softmax changes
#: nothing there.
FLAT = ("conv.bias", "in_proj_bias", "decoder.norm.bias")
SCORERS, RUNS = list(EXPECTED["scorers"]), list(EXPECTED["runs"])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The files, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "saved", filter="data")
    return tmp_path / "saved"


def assert_same(found: Any, expected: list[dict[str, Any]]) -> None:
    """Explanations have the expected verdicts and maps."""
    for explanation, numbers in zip(found, expected, strict=True):
        assert explanation.label == numbers["label"]
        assert explanation.probability == pytest.approx(numbers["probability"], abs=1e-6)
        assert set(explanation.scores) == set(numbers["scores"])
        for modality, scores in numbers["scores"].items():
            own = explanation.scores[modality]
            np.testing.assert_allclose(own.reshape(-1, own.shape[-1]), scores, atol=ROUNDING)


def samples_of(run: Run) -> list[Any]:
    rows = [tuple(row[m] for m in run.dataset.modalities) for row in run.rows("test", 2)]
    return [row[0] if len(row) == 1 else row for row in rows]


@pytest.mark.parametrize("name", SCORERS)
def test_a_saved_scorer_gives_the_same_maps(name: str, saved: Path) -> None:
    build, reads = MODELS.CASES[name]
    explainer = Explainer.from_pretrained(
        saved / "scorers" / name, build(), processor=MODELS.processor(reads)
    )
    assert_same(explainer.explain(MODELS.samples(reads)[:2]), EXPECTED["scorers"][name])


def test_a_saved_explanation_loads(saved: Path) -> None:
    explanation = Explanation.load(saved / "explanation.json")
    assert_same([explanation], EXPECTED["scorers"]["fusion"][:1])
    assert explanation.inputs["image"].shape == (16, 16, 3)
    assert "".join(explanation.inputs["text"]) == MODELS.TEXTS[0]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_same_maps(name: str, saved: Path) -> None:
    run = Run.open(saved / "runs" / name)
    assert run.unfitted() == []
    assert_same(run.explainer().explain(samples_of(run)), EXPECTED["runs"][name])


@pytest.mark.parametrize("name", RUNS)
def test_results_are_merged_again_byte_for_byte(
    name: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("every part is there, so nothing is measured")

    folder = saved / "runs" / name
    texts, tables = ("results.json", "table.md"), ("scores.parquet", "curves.parquet")
    before = {n: _as_now(_as_before((folder / n).read_text())) for n in texts}
    frames = {n: pd.read_parquet(folder / n) for n in tables}
    for file in before | frames:
        (folder / file).unlink()
    monkeypatch.setattr(PartStore, "write", measured)
    assert sidelight("evaluate", folder).code == 0
    assert {n: _as_before((folder / n).read_text()) for n in texts} == before
    for file, frame in frames.items():
        pd.testing.assert_frame_equal(pd.read_parquet(folder / file), frame, check_exact=True)


@pytest.mark.parametrize("name", RUNS)
def test_an_evaluation_goes_on_and_measures_the_same(name: str, saved: Path) -> None:
    folder = saved / "runs" / name
    before = {n: _as_now((folder / n).read_text()) for n in ("results.json", "table.md")}
    parts = sorted(folder.glob("evaluation/*/part-*.parquet"))
    lost = [p for p in parts if "part-00001" in p.name or "single" in p.parts]
    frames = {p: pd.read_parquet(p) for p in lost}
    for part in lost:
        part.unlink()
    assert sidelight("evaluate", folder).code == 0
    for part, frame in frames.items():
        # another processor rounds in another order
        pd.testing.assert_frame_equal(pd.read_parquet(part), frame, rtol=0, atol=1e-5)
    assert (folder / "table.md").read_text() == before["table.md"]
    texts = (folder / "results.json").read_text(), before["results.json"]
    after, expected = (_as_before(text) for text in texts)
    _assert_close(json.loads(after), json.loads(expected))


def _as_now(text: str) -> str:
    """Tables wrote intervals without their leading zero before."""
    return text.replace("±.", "±0.")


#: parts of a result that differ since: each sample draws the others of its modality by its id now, and by its batch before
#: (the first), and settings, rows and scorers are noted
NOTED_SINCE = ("modality_share", "evaluation", "measured")


def _as_before(text: str) -> str:
    """A result without the parts that differ since."""
    if not any(f'"{key}"' in text for key in NOTED_SINCE):
        return text
    found = json.loads(text)
    for key in NOTED_SINCE:
        found.pop(key, None)
    found["notes"] = [note for note in found["notes"] if not note.startswith("Modality share")]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _assert_close(found: Any, expected: Any) -> None:
    """The same plain values, numbers up to rounding."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            _assert_close(one, other)
    else:
        assert found == (pytest.approx(expected, abs=1e-6) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("name", RUNS)
def test_a_training_begun_anew_ends_at_the_same_scorer(name: str, saved: Path) -> None:
    folder = saved / "runs" / name
    scorer = folder / "scorer-0"
    before = load_file(scorer / "scorer" / "scorer.safetensors")
    files = ("training.json", "scorer/config.json")
    records = {file: json.loads((scorer / file).read_text()) for file in files}
    log = _log(scorer / "log.csv")
    shutil.rmtree(scorer)
    run = Run.open(folder)
    assert run.unfitted() == [(0, "")]
    run.fit()
    after = load_file(scorer / "scorer" / "scorer.safetensors")
    assert list(after) == list(before)
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, atol=5e-3 if key.endswith(FLAT) else 1e-5, err_msg=key)
    made = json.loads((scorer / "training.json").read_text())
    assert made.pop(PROCESSES) == 1  # which that version did not record, nor the answers
    assert differences(records["training.json"], made) == []
    for file, record in records.items():
        # a target's folder is remembered where it lies
        own = json.loads((scorer / file).read_text().replace(str(saved), MADE_IN))
        if file == "scorer/config.json":
            assert own.pop("training")["rows"]  # which the model card tells
            assert own["target"].pop("answers")  # which loading compares
        own.pop("sidelight_version", None), record.pop("sidelight_version", None)  # it is another one
        own.pop("weights_hash", ""), record.pop("weights_hash", "")  # which rounding changes
        assert _without(own, {*NEW, "classes", PROCESSES, ANSWERS}) == _without(record, RETIRED), file
    # that version validated at the end once more, with the same outcome
    log = log.drop_duplicates(ignore_index=True)
    log = log.drop(columns=["order", "eval_order"])  # the term of a retired weight
    own = _log(scorer / "log.csv").drop(columns=["rank", "eval_rank"])  # a term that came later
    pd.testing.assert_series_equal(own.pop("grad_norm"), log.pop("grad_norm"), rtol=1e-3, atol=1e-3)
    pd.testing.assert_frame_equal(own, log, check_like=True, rtol=1e-5, atol=1e-5)


def _without(record: Any, names: Container[str]) -> Any:
    """Plain values without the settings of these names."""
    if not isinstance(record, dict):
        return record
    return {key: _without(value, names) for key, value in record.items() if key not in names}


def _log(path: Path) -> pd.DataFrame:
    """A training's log without its durations."""
    log = pd.read_csv(path)
    return log[[c for c in log if c != "seconds" and not c.endswith(("_runtime", "_per_second"))]]


def test_answers_of_a_table_are_read_and_gone_on_with(saved: Path) -> None:
    expected = EXPECTED["answers"]
    answers = list(read_explanations(saved / "answers"))
    assert len(answers) == len(expected) == 7
    failed = [i for i, answer in enumerate(answers) if isinstance(answer, ExplainFailure)]
    assert failed == [i for i, numbers in enumerate(expected) if "error" in numbers] == [2]
    assert answers[2].reason == expected[2]["error"]
    assert_same(answers[:2] + answers[3:], expected[:2] + expected[3:])
    about = json.loads((saved / "answers" / "manifest.json").read_text())["about"]
    assert StoredExplanations.open(saved / "answers", about).finished == 7


def test_the_command_gives_the_same_answers_to_the_same_table(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    words = ("--csv", saved / "table.csv", "--out", out, "--batch-size", 1, "--block-rows", 4)
    assert sidelight("explain", saved / "runs" / "text", *words).code == 0
    told = json.loads((out / "manifest.json").read_text().replace(str(saved), MADE_IN))
    told["about"] = _without(told["about"], LATER)
    # parts have other columns now
    assert {**told, "version": 1} == json.loads((saved / "answers" / "manifest.json").read_text())
    assert (out / "errors.csv").read_text() == (saved / "answers" / "errors.csv").read_text()
    own, before = (pd.read_csv(folder / "explanations.csv") for folder in (out, saved / "answers"))
    # six digits are written, and the last of them depends on the processor
    pd.testing.assert_frame_equal(own, before, rtol=0, atol=2e-6)
