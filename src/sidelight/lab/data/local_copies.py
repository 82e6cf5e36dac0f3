"""Image-text sets in the folders that their makers publish: Flickr8k, Hateful Memes, SNLI-VE.

Nobody may pass them on, so each is read from a local copy, as it was unpacked. Annotations and pictures may lie
in the folder itself or in the folders inside it.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sidelight.core.field_checks import require_choice
from sidelight.errors import InputError
from sidelight.lab.data.pair_rows import PairRows, Pictures
from sidelight.lab.data.reading import DATA_VARIABLE, find_folder, sample_rows

log = logging.getLogger(__name__)

ENTAILMENT = ("entailment", "neutral", "contradiction")
#: Flickr8k's captions with ``<picture>#<number>``, a tab and a caption in each line, or with ``<picture>,<caption>``
TABBED, COMMAS = "Flickr8k.token.txt", "captions.txt"
MEMES = {
    "train": ("train.jsonl",),
    "validation": ("dev_seen.jsonl", "dev.jsonl"),
    "test": ("test_seen.jsonl", "test.jsonl"),
}
#: names of the splits in the files of Flickr8k and SNLI-VE
SHORT = {"train": "train", "validation": "dev", "test": "test"}
#: the picture's column in releases of SNLI-VE
FLICKR_ID = ("Flickr30K_ID", "Flikr30kID", "Flickr30kID")


def local_loader(name: str, read: Callable[[Path, str], PairRows], layout: str) -> Callable[..., Any]:
    """A loader of a data set that exists as a local copy only.

    Args:
        read: makes rows from the folder and the split.
        layout: the content of the folder, for the message if there is none.
    """

    def load(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
        folder = find_folder(name, data_dir)
        if folder is None:
            raise InputError(
                f"data set {name!r} is read from a local copy, and there is none. Set the environment "
                f"variable {DATA_VARIABLE}, or data.data_dir in the config, to a folder that holds {name}/ with {layout}."
            )
        return sample_rows(read(folder, split), count, seed)

    return load


def read_memes(folder: Path, split: str) -> PairRows:
    """Hateful Memes: ``train.jsonl``, ``dev[_seen].jsonl``, ``test[_seen].jsonl`` and the pictures in ``img``.

    Raises:
        InputError: a file is missing, malformed or without labels, as the test file of the first release.
    """
    path = find_file(folder, MEMES[_known(split)])
    rows = list(read_json_lines(path, ("img", "text")))
    bare = next((number for number, row in enumerate(rows, 1) if row.get("label") not in (0, 1)), None)
    if bare is not None:
        raise InputError(
            f"{path} has no label of 0 or 1 in line {bare}: get the release whose test_seen.jsonl is labelled."
        )
    names = [Path(str(row["img"])).name for row in rows]
    return pair_rows(folder, names, [str(r["text"]) for r in rows], [int(r["label"]) for r in rows])


def read_snli_ve(folder: Path, split: str) -> PairRows:
    """SNLI-VE: ``snli_ve_{train,dev,test}.jsonl`` and the pictures of Flickr30k, ``<id>.jpg``.

    Pairs on which the annotators did not agree (label ``-``) are left out.

    Raises:
        InputError: a file is missing or malformed.
    """
    path = find_file(folder, [f"snli_ve_{SHORT[_known(split)]}.jsonl"])
    rows = [r for r in read_json_lines(path, ("sentence2", "gold_label")) if r["gold_label"] != "-"]
    odd = next((r["gold_label"] for r in rows if r["gold_label"] not in ENTAILMENT), None)
    if odd is not None:
        raise InputError(f"{path}: gold_label must be one of {', '.join(ENTAILMENT)} or -; got {odd!r}.")
    labels = [ENTAILMENT.index(r["gold_label"]) for r in rows]
    names = [_flickr_name(path, row) for row in rows]
    return pair_rows(folder, names, [str(r["sentence2"]) for r in rows], labels)


def _flickr_name(path: Path, row: dict[str, Any]) -> str:
    found = next((str(row[key]) for key in FLICKR_ID if row.get(key)), None)
    if found is None:
        raise InputError(f"{path}: a row names no picture; expected one of {FLICKR_ID}, got {sorted(row)}.")
    return found if found.endswith(".jpg") else f"{found}.jpg"


def read_flickr8k(folder: Path, split: str) -> tuple[Pictures, list[list[str]]]:
    """Flickr8k: ``Flickr8k.token.txt`` or ``captions.txt``, and a folder of pictures.

    The published splits (``Flickr_8k.trainImages.txt`` and so on) are used if they lie there. Otherwise a tenth of
    the pictures, drawn once, is for validation, and another tenth for test.

    Returns:
        The split's pictures, and the captions of each.

    Raises:
        InputError: a file is missing or malformed.
    """
    path = find_file(folder, (TABBED, COMMAS))
    captions: dict[str, list[str]] = {}
    for name, caption in _caption_lines(path):
        captions.setdefault(name, []).append(caption)
    wanted = _published_split(folder, split)
    names = [n for n in (wanted or _drawn_split(sorted(captions), split)) if n in captions]
    place, held = find_pictures(folder, names)
    kept = [n for n in names if n in held]
    _tell_missing(len(names) - len(kept), place)
    return Pictures.in_files([place / n for n in kept]), [captions[n] for n in kept]


def _caption_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Picture name and caption of each line, in either of the two layouts."""
    tabbed = path.name == TABBED
    wanted = "<picture>#<number>, a tab and a caption" if tabbed else "<picture>,<caption>"
    with path.open(encoding="utf-8", newline="") as file:
        lines: Iterable[list[str]] = (line.rstrip("\r\n").split("\t", 1) for line in file)
        for number, parts in enumerate(lines if tabbed else csv.reader(file), start=1):
            if not parts or parts == [""] or (number == 1 and parts == ["image", "caption"]):
                continue
            picture, caption = parts[0], parts[1].strip() if len(parts) == 2 else ""
            if not caption:
                raise InputError(f"{path}, line {number}: expected {wanted}; got {','.join(parts)[:60]!r}.")
            yield (picture.rsplit("#", 1)[0] if tabbed else picture), caption


def _published_split(folder: Path, split: str) -> list[str] | None:
    name = f"Flickr_8k.{SHORT[_known(split)]}Images.txt"
    path = next(_places(folder, [name]), None)
    return None if path is None else path.read_text(encoding="utf-8").split()


def _drawn_split(names: Sequence[str], split: str) -> list[str]:
    order = np.random.default_rng(0).permutation(len(names)).tolist()
    tenth = max(1, len(names) // 10)
    held = {"validation": order[:tenth], "test": order[tenth : 2 * tenth], "train": order[2 * tenth :]}
    return [names[i] for i in sorted(held[split])]


# -- shared ----------------------------------------------------------------------------------


def pair_rows(folder: Path, names: Sequence[str], texts: Sequence[str], labels: Sequence[int]) -> PairRows:
    """Rows of pictures by file name. Rows without a picture are left out with a warning.

    Raises:
        InputError: no picture is there.
    """
    place, held = find_pictures(folder, names)
    kept = [i for i, name in enumerate(names) if name in held]
    _tell_missing(len(names) - len(kept), place)
    numbers: dict[str, int] = {}
    picture = [numbers.setdefault(names[i], len(numbers)) for i in kept]
    columns: dict[str, list[Any]] = {"text": [texts[i] for i in kept], "label": [labels[i] for i in kept]}
    return PairRows(Pictures.in_files([place / n for n in numbers]), picture, columns)


def find_pictures(folder: Path, names: Sequence[str]) -> tuple[Path, set[str]]:
    """The folder that holds pictures of these names, and the names of all its files.

    This is ``folder``, or lies in it at most two levels down.
    """
    sought = set(names[:100])
    for place in _folders(folder, 2):
        held = {entry.name for entry in os.scandir(place)}
        if sought & held:
            return place, held
    raise InputError(
        f"no picture such as {names[0]!r} in {folder} or the folders inside it; put them there, or link to them."
        if names
        else f"the annotations in {folder} name no picture of this split."
    )


def find_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of ``names`` in ``folder`` or one level down. Raises :class:`InputError` if there is none."""
    path = next(_places(folder, names), None)
    if path is None:
        held = sorted(p.name for p in folder.iterdir())[:20]
        raise InputError(f"no {' or '.join(names)} in {folder} or the folders inside it; it holds {held}.")
    return path


def _places(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    return (p / name for name in names for p in _folders(folder, 1) if (p / name).is_file())


def _folders(folder: Path, levels: int) -> Iterator[Path]:
    yield folder
    if levels:
        for name in sorted(e.name for e in os.scandir(folder) if e.is_dir()):
            yield from _folders(folder / name, levels - 1)


def read_json_lines(path: Path, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A mapping for each line. Raises :class:`InputError` for a line that is none or lacks one of ``keys``."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{path}, line {number}: not JSON ({error}); it may be truncated."
                ) from error
            missing = [k for k in keys if not isinstance(row, dict) or k not in row]
            if missing:
                raise InputError(f"{path}, line {number}: {missing} missing; got {line[:60]!r}.")
            yield row


def _known(split: str) -> str:
    return require_choice(split, SHORT, "split")


def _tell_missing(count: int, place: Path) -> None:
    if count:
        log.warning("%d row(s) or picture(s) left out: their files are not in %s.", count, place)
