"""The folder of a training: its identity, its checkpoints, and its log as CSV. Files that a kill left half-written are ignored.

Only files that this or an earlier training of sidelight wrote are ever replaced or removed.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sidelight.core.files import read_json, remove_leftovers, replace_file, write_json
from sidelight.core.folders import folder_path, require_folder_place, temporary_folder
from sidelight.core.locks import hold
from sidelight.core.ownership import foreign, is_ours, overwriting, require_free
from sidelight.core.processes import from_main, in_main, process_count
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError, InputTypeError
from sidelight.training.identity import PROCESSES, changed_processes, differences, is_early, is_known

log = logging.getLogger(__name__)

#: The folder in the working directory that holds trainings without ``output_dir``.
RUNS = "sidelight-runs"
#: The file that identifies the training of a folder.
IDENTITY = "training.json"
#: The file in every checkpoint that a training of sidelight began to write.
CHECKPOINT_MARK = "sidelight.json"
#: The first columns of a log.
LOG_COLUMNS = ("step", "seconds")
#: The files that the Trainer writes into a checkpoint.
_PARTS = (
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "scaler.pt",
    "trainer_state.json",
    "training_args.bin",
)


def known_settings(folder: Path) -> dict[str, Any]:
    """The settings of the training in ``folder``, as it recorded them. Empty if there is none."""
    return _recorded(folder, "training")


def known_rows(folder: Path, name: str) -> int:
    """How many rows of the data ``name`` (``"train"`` or ``"eval"``) that training has. 0 if it recorded none."""
    return int(_recorded(folder, name).get("rows", 0))


def known_scorer(output_dir: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    """What was chosen for the scorer of the training in ``output_dir``: the decoders' options by modality (``decoder``) and
    ``effect_unit``. ``None`` if there is no training.
    """
    found = recorded_part(output_dir, "scorer")
    if not isinstance(found.get("decoder"), Mapping):
        return None
    return {"decoder": dict(found["decoder"]), "effect_unit": found.get("effect_unit")}


def recorded_part(output_dir: str | os.PathLike[str] | None, name: str) -> dict[str, Any]:
    """The part ``name`` of the record of the training in ``output_dir``. Empty if there is none."""
    if not isinstance(output_dir, str | os.PathLike):
        return {}  # also if it is no path at all, which `training_place` refuses
    try:
        return _recorded(Path(output_dir), name)
    except (CheckpointError, OSError):
        # somebody else's file, or a damaged one: the user is told when the folder is taken
        return {}


def _recorded(folder: Path, name: str) -> dict[str, Any]:
    part = recorded_identity(folder).get(name)
    return part if isinstance(part, dict) else {}


@contextmanager
def training_place(output_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    """The folder of a training, locked for this process.

    Args:
        output_dir: the folder. Default: a fresh ``sidelight-runs/<date>-<time>-<random>`` in the working directory, or a
            temporary folder if that cannot be written.

    Raises:
        InputTypeError: it is no path.
        ForeignFileError: it is a file or a link, or lies below a file.
        BusyFolderError: another process or thread works there.
    """
    fresh = output_dir is None
    place = Path(from_main(_fresh_folder)) if output_dir is None else _given(output_dir)
    try:
        with hold(place, "fit"):
            yield place
    except BaseException:
        if fresh:
            _forget(place)
        raise
    if fresh:
        log.info("this training is in %s", place)


def _given(output_dir: str | os.PathLike[str]) -> Path:
    if not isinstance(output_dir, (str, os.PathLike)):
        raise InputTypeError(f"output_dir must be the path of a folder; got {type(output_dir).__name__}.")
    place = folder_path(output_dir)
    require_folder_place(place, "Give another output_dir.")
    return place


def _fresh_folder() -> str:
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    try:
        place = Path.cwd() / RUNS / name  # there may be no working directory any more
        place.mkdir(parents=True)
    except OSError as error:
        place = temporary_folder(error)
        log.warning(
            "the working directory cannot be written (%s): this training is in the temporary folder %s. "
            "Save the explainer with save_pretrained, or give output_dir.",
            error.strerror or error,
            place,
        )
    return str(place)


def _forget(place: Path) -> None:
    """Remove a fresh folder if a call that raised an error leaves it empty."""
    with suppress(OSError):
        place.rmdir()
        if place.parent.name == RUNS:
            place.parent.rmdir()


def claim_folder(
    folder: Path, about: Mapping[str, Any], resume: bool, advice: str | None = None
) -> Path | None:
    """Take ``folder`` for this training. Returns the checkpoint to continue from, if there is one.

    Half-written checkpoints, and lines of the log about steps that will be done again, are removed. Files of others stay.

    Args:
        folder: of checkpoints and log.
        about: the identity of the training (:func:`sidelight.training.identity.training_identity`).
        resume: whether to continue. Otherwise checkpoints and log of an earlier training are removed.
        advice: what to do about files of others, if it is not to give another ``output_dir``.

    Raises:
        ConfigError: the folder holds another training, or a finished one that may be another.
        ForeignFileError: it holds files of somebody else that have the names of ours.
    """
    in_main(lambda: _claim(folder, about, resume, advice))
    return newest_checkpoint(folder) if resume else None


def _claim(folder: Path, about: Mapping[str, Any], resume: bool, advice: str | None) -> None:
    require_own_training(folder, advice)
    checkpoint, known = newest_checkpoint(folder), folder / IDENTITY
    found = recorded_identity(folder)
    if resume and (checkpoint is not None or (folder / "scorer" / "config.json").is_file()):
        _require_same(folder, found, about, checkpoint)
    keep = checkpoint if resume else None
    for path in own_checkpoints(folder):
        if keep is None or not is_complete(path):
            shutil.rmtree(path)
    for path in own_checkpoints(folder):  # those of an earlier version have no mark yet
        mark_checkpoint(path, early=True)
    trim_csv(folder / "log.csv", step_of(keep) if keep else -1)
    remove_leftovers(folder, r"log\.csv|training\.json")
    begun_by = (found if keep else {}).get(PROCESSES, process_count())
    with overwriting():  # require_own_training has looked
        write_json(known, {**about, PROCESSES: begun_by})


def _require_same(
    folder: Path, found: Mapping[str, Any], about: Mapping[str, Any], last: Path | None
) -> None:
    changed = differences(found, about) if found else [f"{IDENTITY} is missing, so the training is unknown"]
    if last is not None and not is_finished(last):
        changed += changed_processes(found, process_count())
    way = "Give another output_dir, or start over in this one with resume=False."
    if changed:
        raise ConfigError(f"{folder} holds another training (different: {'; '.join(changed)}). {way}")
    if is_known(found):
        return
    if last is not None and is_finished(last):
        why = (
            "by an earlier version, which kept no record of the data"
            if is_early(found)
            else "on rows that change"
        )
        raise ConfigError(
            f"{folder} holds a finished training, made {why}, so it may not be the one asked for. {way} "
            f"To use it as it is, load it: Explainer.from_pretrained({str(folder / 'scorer')!r}, model)."
        )
    if last is not None and is_early(found):
        log.warning(
            "%s: a training of an earlier version is continued, which kept no record of the data. If your data are not the "
            "same, start over with resume=False.",
            folder,
        )


def recorded_identity(folder: Path) -> dict[str, Any]:
    """What :data:`IDENTITY` of ``folder`` says. Empty if there is none. Raises :class:`CheckpointError` if it is damaged."""
    path = folder / IDENTITY
    try:
        found = read_json(path) if path.is_file() else {}
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} is damaged, so nobody knows which training {folder} holds. Move this folder away and call again: the "
            "training starts over."
        ) from error
    return found if isinstance(found, dict) else {}


def require_own_training(folder: Path, advice: str | None = None) -> None:
    """Refuse a folder if files of others have the names of ours. Nothing is written.

    Raises:
        ForeignFileError: names the file and a remedy.
    """
    place = folder_path(folder)
    advice = advice or f"Give an output_dir of its own, e.g. {place / 'sidelight'}."
    require_folder_place(place, advice)
    known, scorer, csv_log = place / IDENTITY, place / "scorer", place / "log.csv"
    early = known.is_file() and not known.is_symlink() and _is_early_file(known)
    if not early:
        require_free([known], advice)
    # somebody may have removed the record of a training
    begun = known.is_file() or is_ours(scorer / "config.json") or bool(own_checkpoints(place))
    if csv_log.exists() and not (begun and _is_log(csv_log)):
        raise foreign(csv_log, advice)
    require_folder_place(scorer, advice)
    require_free((scorer / name for name in ("config.json", "scorer.safetensors", "processor.json")), advice)
    others = [p.name for p in sorted(place.glob("checkpoint-*")) if not is_own_checkpoint(p, early)]
    if others:
        raise ForeignFileError(
            f"could not write checkpoints to {place}: it holds {', '.join(others[:5])} that sidelight did not write, and they "
            f"stay as they are. {advice}"
        )


def _is_early_file(path: Path) -> bool:
    try:
        found = read_json(path)
    except CheckpointError:
        return False
    return isinstance(found, dict) and is_early(found)


def _is_log(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as handle:
        return handle.readline().startswith(",".join(LOG_COLUMNS))


def mark_checkpoint(checkpoint: Path, early: bool = False) -> None:
    """Begin a checkpoint: make its folder, and the file that marks it as ours.

    Raises:
        ForeignFileError: another program has put a file there in the meantime.
    """
    if checkpoint.exists() and not is_own_checkpoint(checkpoint, early):
        raise foreign(checkpoint)
    checkpoint.mkdir(parents=True, exist_ok=True)
    write_json(checkpoint / CHECKPOINT_MARK, {"format": "sidelight.checkpoint"})


def is_own_checkpoint(checkpoint: Path, early: bool = False) -> bool:
    """Whether a training of sidelight wrote ``checkpoint``.

    Args:
        checkpoint: a folder named like one.
        early: whether its parent is the folder of a training of an earlier version, which left no mark.
    """
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        return False
    if is_ours(checkpoint / CHECKPOINT_MARK):
        return True
    return early and step_of(checkpoint) >= 0 and _looks_early(checkpoint)


def _looks_early(checkpoint: Path) -> bool:
    """Whether only files of the Trainer are there, and the weights, if any, are those of a scorer."""
    names = {p.name for p in checkpoint.iterdir()}
    if any(n not in _PARTS and not n.startswith("rng_state") for n in names):
        return False
    weights = checkpoint / "model.safetensors"
    if not weights.is_file():
        return not names
    with weights.open("rb") as handle:
        return b'"scorer.' in handle.read(1 << 16)


def own_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in ``folder`` that a training of sidelight wrote, the oldest first."""
    early = _is_early_file(folder / IDENTITY)
    return sorted((p for p in folder.glob("checkpoint-*") if is_own_checkpoint(p, early)), key=step_of)


def drop_checkpoints(folder: Path, limit: int | None = 0, best: str | None = None) -> None:
    """Remove all our checkpoints in ``folder`` except the newest ``limit``. If it is not 0, the newest and the best stay.

    Args:
        folder: of a training.
        limit: how many stay. ``None`` keeps all.
        best: path of the best one.
    """
    found = own_checkpoints(folder)
    if limit is None or len(found) <= limit:
        return
    kept = {found[-1], Path(best or found[-1])} if limit else set()
    for checkpoint in [c for c in found if c not in kept][: len(found) - limit]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of ours in ``folder``, or ``None``."""
    found = [p for p in own_checkpoints(folder) if step_of(p) >= 0 and is_complete(p)]
    return max(found, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Optimiser step of a checkpoint by its name, -1 if the name has none."""
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
    """Rows of a CSV, none if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``rows`` atomically. Every key of any of them is a column."""
    columns = list(dict.fromkeys(k for row in rows for k in row))
    with (
        overwriting(),  # the owner of the log was checked when the training began
        replace_file(path) as tmp,
        tmp.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)


def append_csv(path: Path, row: Mapping[str, Any]) -> None:
    """Append ``row`` to a CSV, adding columns by rewriting the file atomically."""
    write_csv(path, [*read_csv(path), row])


def trim_csv(path: Path, step: int) -> None:
    """Remove the lines of steps after ``step``, and the summary at the end of a training."""
    rows = read_csv(path)
    ends = next((i for i, r in enumerate(rows) if r.get("train_runtime")), len(rows))
    kept = [r for r in rows[:ends] if int(r["step"]) <= step]
    if kept:
        write_csv(path, kept)
    else:
        path.unlink(missing_ok=True)
