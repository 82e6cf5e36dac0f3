"""The folder of a training: whose it is, its checkpoints, and its log as CSV. Nothing a kill leaves half-written counts."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidelight.errors import ConfigError
from sidelight.files import read_json, replace_file, write_json
from sidelight.processes import is_main

#: which training a folder of checkpoints belongs to
IDENTITY = "training.json"


def claim_folder(folder: Path, about: Mapping[str, Any], resume: bool) -> Path | None:
    """Make ``folder`` this training's own; returns the checkpoint to continue from, if there is one.

    What a kill left behind is cleared away: half-written checkpoints, and lines of the log
    about steps that will be done again.

    Args:
        folder: of checkpoints and log.
        about: plain values that tell one training from another.
        resume: whether to continue; otherwise what is there is removed.

    Raises:
        ConfigError: the folder holds checkpoints of another training.
    """
    about = json.loads(json.dumps(about, default=str))
    checkpoint, known = newest_checkpoint(folder), folder / IDENTITY
    if checkpoint is not None and resume:
        found = read_json(known) if known.is_file() else {}
        changed = [k for k in about if found.get(k) != about[k]]
        if changed:
            raise ConfigError(
                f"{folder} holds the checkpoints of another training (different {', '.join(changed)}). "
                "Give another output_dir, remove the folder, or start over with training.resume=False."
            )
    if is_main():
        keep = checkpoint if resume else None
        for path in folder.glob("checkpoint-*"):
            if keep is None or not is_complete(path):
                shutil.rmtree(path)
        trim_csv(folder / "log.csv", step_of(keep) if keep else -1)
        write_json(known, about)
    return checkpoint if resume else None


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete Trainer checkpoint in ``folder``, or ``None``."""
    found = [p for p in folder.glob("checkpoint-*") if step_of(p) >= 0 and is_complete(p)]
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Optimiser step at which a checkpoint was written; -1 where the name tells none."""
    number = checkpoint.name.rsplit("-", 1)[1]
    return int(number) if number.isdigit() else -1


def is_complete(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: the Trainer's state comes last, and must be whole."""
    parts = ("model.safetensors", "optimizer.pt", "scheduler.pt")
    try:
        return bool(_state(checkpoint)) and all((checkpoint / p).is_file() for p in parts)
    except (OSError, ValueError):
        return False


def is_finished(checkpoint: Path) -> bool:
    """Whether the training had come to its end, early or not, when this checkpoint was written."""
    state = _state(checkpoint)
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {})
    stopped = bool(control.get("args", {}).get("should_training_stop", False))
    return stopped or state["global_step"] >= state["max_steps"]


def best_checkpoint(checkpoint: Path) -> Path:
    """The best checkpoint that ``checkpoint`` knows of, beside it (wherever the folder was moved to)."""
    best = checkpoint.with_name(f"checkpoint-{_state(checkpoint).get('best_global_step')}")
    return best if best.is_dir() else checkpoint


def _state(checkpoint: Path) -> dict[str, Any]:
    return dict(json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")))


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``rows`` atomically; every key of any of them is a column."""
    columns = list(dict.fromkeys(k for row in rows for k in row))
    with replace_file(path) as tmp, tmp.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


def append_csv(path: Path, row: Mapping[str, Any]) -> None:
    """Append ``row`` to a CSV, adding columns by rewriting the file atomically."""
    write_csv(path, [*read_csv(path), row])


def trim_csv(path: Path, step: int) -> None:
    """Drop the lines of steps after ``step`` and of the summing-up at the end of a training."""
    rows = read_csv(path)
    ends = next((i for i, r in enumerate(rows) if r.get("train_runtime")), len(rows))
    kept = [r for r in rows[:ends] if int(r["step"]) <= step]
    if kept:
        write_csv(path, kept)
    else:
        path.unlink(missing_ok=True)
