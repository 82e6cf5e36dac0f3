"""Image-text sets in parquet files: Flickr8k and e-SNLI-VE."""

from __future__ import annotations

import re
from typing import Any

from sidelight.errors import InputError
from sidelight.lab.data.local_copies import read_flickr8k
from sidelight.lab.data.pair_rows import PairRows, Pictures, caption_pairs
from sidelight.lab.data.reading import (
    find_folder,
    from_file,
    from_hub,
    local_rows,
    sample_rows,
    split_file,
)

FLICKR8K_HUB = "jxie/flickr8k"


def flickr8k_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Does the caption match the picture? Each caption comes once with its own and once with another picture.

    The rows come from ``flickr8k/<split>.parquet`` (columns ``image`` and ``captions``), from the published folder
    (:func:`~sidelight.lab.data.local_copies.read_flickr8k`), or from the hub. Captions of other pictures come from
    the same split and are drawn with ``seed``. No picture is in two splits.
    """
    folder = find_folder("flickr8k", data_dir)
    if (
        folder is not None
        and not (folder / f"{split}.parquet").is_file()
        and not any(folder.glob("*.parquet"))
    ):
        pictures, captions = read_flickr8k(folder, split)
    else:
        rows = (
            from_hub("flickr8k", FLICKR8K_HUB, split)
            if folder is None
            else from_file(split_file(folder, split))
        )
        pictures, captions = Pictures.of(rows), _captions(rows)
    picture, text, label = caption_pairs(captions, seed)
    return sample_rows(PairRows(pictures, picture, {"text": text, "label": label}), count, seed)


def _captions(rows: Any) -> list[list[str]]:
    """Captions of each row: a list in column ``captions``, or one in each of ``caption_0``, ``caption_1``, ..."""
    if "captions" in rows.column_names:
        return [list(found) for found in rows["captions"]]
    columns = sorted(c for c in rows.column_names if re.fullmatch(r"caption(_\d+)?", c))
    if not columns:
        raise InputError(f"expected a column 'captions' or 'caption_0', ...; got {rows.column_names}.")
    return [list(found) for found in zip(*(rows[c] for c in columns), strict=True)]


def esnlive_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Does the picture entail, leave open or contradict the hypothesis?"""
    rows = local_rows("esnlive", split, data_dir, ("image", "hypothesis", "label"), "esnlive_subset")
    columns = {"text": list(rows["hypothesis"]), "label": list(rows["label"])}
    return sample_rows(PairRows(Pictures.of(rows), range(len(rows)), columns), count, seed)
