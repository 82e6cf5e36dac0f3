"""A disk that fills up: libraries that have errors of their own for it are understood, and no process ends of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from export_toys import explainer_of
from sidelight.core.files import replace_file, write_text
from sidelight.core.folders import replace_folder
from sidelight.core.ownership import own_folder
from sidelight.errors import CheckpointError
from sidelight.lab.runs.classifier import save_target

#: the words of safetensors and of tokenizers for a full disk
FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


def fails(*args: Any, **kwargs: Any) -> Any:
    raise SafetensorError(FULL)


def test_kind_weights_on_a_full_disk_are_advised_about_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = explainer_of("bert")
    monkeypatch.setattr("safetensors.torch.save_file", fails)
    with pytest.raises(CheckpointError, match="untouched; free some space or choose another folder"):
        explainer.save_pretrained(tmp_path / "scorer")
    monkeypatch.setattr(explainer.target.model, "save_pretrained", fails)
    with pytest.raises(CheckpointError, match="untouched; free some space or choose another folder"):
        save_target(explainer.target, tmp_path / "target", {})
    assert list(tmp_path.iterdir()) == []


def test_kind_a_tokenizer_beside_an_export_is_not_left_out_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = explainer_of("bert")
    monkeypatch.setattr(explainer.target.reader.tokenizer, "save_pretrained", fails)
    with pytest.raises(CheckpointError, match="untouched; free some space or choose another folder"):
        explainer.export(tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_kind_a_scorer_is_not_saved_without_its_tokenizer_if_the_temporary_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = explainer_of("bert")
    monkeypatch.setattr(explainer.target.reader.tokenizer, "save_pretrained", fails)
    with pytest.raises(CheckpointError, match="Free some space there, or set TMPDIR"):
        explainer.save_pretrained(tmp_path / "scorer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", [replace_file, replace_folder])
def test_kind_other_errors_within_a_writer_stay_what_they_are(tmp_path: Path, writer: Any) -> None:
    with pytest.raises(SafetensorError, match="shared memory"), writer(tmp_path / "new"):
        raise SafetensorError("tensors with shared memory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_kind_a_file_is_not_called_foreign_because_the_disk_took_half_of_its_line(tmp_path: Path) -> None:
    """The file was written, and its line in the list of ours was cut. So the same call never went on."""
    import resource

    own_folder(tmp_path)
    write_text(tmp_path / "a.csv", "1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = (tmp_path / ".sidelight").stat().st_size + 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (full, limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"File too large.*ulimit -f"):
            write_text(tmp_path / "b.csv", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "b.csv").exists()
    for text in ("1", "2"):
        write_text(tmp_path / "b.csv", text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device is of Linux")
def test_kind_torchs_writer_does_not_end_the_process_on_a_full_disk() -> None:
    lines = (
        "import torch",
        "from pathlib import Path",
        "from sidelight.export.graph import write_pt2",
        "program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))",
        "try:",
        "    write_pt2(program, Path('/dev/full'), {})",
        "except OSError as error:",
        "    print('errno', error.errno)",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "errno 28\n"), done.stderr
