"""Image-text sets in parquet files: Flickr8k, e-SNLI-VE and NLVR."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sidelight.errors import InputError
from sidelight.lab.data.boxes import BoxEvidence
from sidelight.lab.data.captions import picture_caption
from sidelight.lab.data.local_copies import read_flickr8k
from sidelight.lab.data.pair_rows import PairRows, Pictures, caption_pairs, exchanged_things
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


def nlvr_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Does the picture show such an object? Labels and evidence come from the objects' boxes.

    Claims are balanced by picture and by object (:func:`~sidelight.lab.data.pair_rows.exchanged_things`), so neither
    modality alone predicts the label. Evidence in the picture is the boxes of the objects that the text names, or empty
    if there are none. Evidence in the text is the colour and the shape.
    """
    rows = local_rows("nlvr", split, data_dir, ("image", "object_shape", "object_color", "object_box"))
    table = rows.select_columns(["object_color", "object_shape", "object_box"]).to_dict()
    objects = [
        [((colour, shape), box) for colour, shape, box in zip(*found, strict=True)]
        for found in zip(*table.values(), strict=True)
    ]
    rng = np.random.default_rng([seed, len(objects)])
    claims = exchanged_things([{thing for thing, _ in found} for found in objects], rng)
    texts = [picture_caption(rng, *thing) for _, thing, _ in claims]
    boxes = [[box for thing, box in objects[i] if thing == claimed] for i, claimed, _ in claims]
    pictures = Pictures.of(rows)
    height, width = pictures[0].size[::-1]
    made = PairRows(
        pictures,
        [i for i, _, _ in claims],
        {"text": [text for text, _ in texts], "label": [label for _, _, label in claims]},
        BoxEvidence([(height, width)] * len(claims), boxes, [spans for _, spans in texts]),
    )
    return sample_rows(made, count, seed)
