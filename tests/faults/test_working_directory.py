"""The working directory changes between two calls, or is gone, as it happens in notebooks."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from fault_models import S, T, bert, tok, untrained

from cli_tools import sidelight
from sidelight import fit
from sidelight.errors import CheckpointError
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from tiny_runs import TEXT, tiny_run


def first_words(answer: object) -> str:
    return "".join(answer.inputs["text"])  # type: ignore[attr-defined]


def test_kind_stored_answers_stay_those_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = untrained(bert(), tok(), T[0])
    answers = {}
    for name, texts in (("a", T[:3]), ("b", T[30:33])):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        answers[name] = explainer.explain_dataset(texts, "out")
    assert first_words(answers["a"][0]) == T[0]  # read in b, where "out" is another folder
    assert [first_words(a) for a in answers["a"]] == T[:3]


def test_kind_a_training_without_a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone.rmdir()
    explainer = fit(bert(), T[:24], processor=tok(), **S)
    assert explainer.output_dir is not None
    assert explainer.output_dir.parent == tmp_path
    monkeypatch.setattr(tempfile, "tempdir", str(gone))
    with pytest.raises(
        CheckpointError, match=r"neither the working directory .* nor a temporary .*output_dir"
    ):
        fit(bert(), T[:24], processor=tok(), **S)


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no working directory")
@pytest.mark.parametrize("command", ["fit", "tables", "explain"])
def test_kind_a_command_without_a_working_directory_says_so(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said only: no such file or directory."""
    gone, run = tmp_path / "gone", tmp_path / "run"
    tiny_run(run, TEXT)
    if command == "tables":
        evaluate_run(Run.open(run))
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    words = {"fit": [run / "config.yaml"], "tables": [run], "explain": [run, "good film"]}[command]
    code, _, told = sidelight(command, *words)
    assert code == 2
    assert "he working directory was removed or moved" in told
