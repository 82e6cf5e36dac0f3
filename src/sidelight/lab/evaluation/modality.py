"""Which modality decides, measured over a test split and, where it is known, held against the truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sidelight.checks.modality_share import modality_shares
from sidelight.core.digits import fixed
from sidelight.core.types import Inputs
from sidelight.lab.evaluation.batches import TestRows
from sidelight.targets import TargetModel

#: column of a row that says which modality decides: a modality's name, or this word for all of them
DECIDED_BY, ALL = "decided_by", "both"


def share_rows(
    target: TargetModel, rows: Any, others: Inputs, *, batch_size: int = 50, draws: int = 16, seed: int = 0
) -> pd.DataFrame:
    """One line per row of ``rows``, with the worth of each modality to its decision.

    Args:
        rows: of a data set, or :class:`TestRows`. A column ``decided_by`` is kept beside the measured ones.
        others: prepared samples to exchange modalities with.
        draws, seed: as in :func:`sidelight.checks.modality_share.modality_shares`.

    Returns:
        Columns sample, confidence, drop_<modality>, drop_all, share_<modality> (NaN where no modality speaks
        for the class), needed (names joined by ``+``) and, where rows have it, decided_by.
    """
    source, lines = TestRows.of(target, rows), []
    answered = isinstance(source.rows[0], Mapping) and DECIDED_BY in source.rows[0]
    for start in range(0, len(source), batch_size):
        ids = range(start, min(start + batch_size, len(source)))
        batch = source.batch(ids)
        clean = source.clean(batch).probabilities
        found = modality_shares(target, batch.inputs, others, draws, seed, clean, ids)
        for i, share in zip(ids, found, strict=True):
            parts = share.shares or dict.fromkeys(target.modalities, float("nan"))
            line: dict[str, Any] = {"sample": i, "confidence": share.confidence}
            line |= {f"drop_{name}": drop for name, drop in share.drops.items()}
            line |= {f"share_{name}": part for name, part in parts.items()}
            line["needed"] = "+".join(share.needed)
            if answered:
                line[DECIDED_BY] = source.rows[i][DECIDED_BY]
            lines.append(line)
    return pd.DataFrame(lines)


def share_summary(frame: pd.DataFrame, modalities: Sequence[str]) -> dict[str, Any]:
    """Means over samples, and how often the modalities needed are those known to decide.

    Returns:
        ``n``. ``drops`` and ``shares``, means by modality; where the answer is known also ``right`` (share of
        samples for which exactly the deciding modalities were needed), ``right_n``, and ``right_by`` answer.
    """
    found: dict[str, Any] = {
        "n": len(frame),
        "drops": {m: round(float(frame[f"drop_{m}"].mean()), 6) for m in modalities},
        "shares": {m: round(float(frame[f"share_{m}"].mean()), 6) for m in modalities},
    }
    if DECIDED_BY in frame:
        known = frame.dropna(subset=[DECIDED_BY])
        answer = known[DECIDED_BY].replace(ALL, "+".join(modalities))
        right = known["needed"] == answer
        if len(known):
            found["right"], found["right_n"] = round(float(right.mean()), 6), len(known)
            found["right_by"] = {
                str(k): round(float(v), 6) for k, v in right.groupby(known[DECIDED_BY]).mean().items()
            }
    return found


def share_note(summary: Mapping[str, Any]) -> str:
    """The summary as a sentence for a page."""
    defined = all(math.isfinite(share) for share in summary["shares"].values())
    parts = ", ".join(f"{name} {share:.0%}" for name, share in summary["shares"].items())
    parts = parts if defined else "not defined, because no modality speaks for the class of any sample"
    lost = ", ".join(f"{fixed(drop, 2)} without the {name}" for name, drop in summary["drops"].items())
    text = f"Modality share, measured by exchanging a modality with other samples' (n = {summary['n']}): {parts}; "
    text += f"confidence lost: {lost}."
    if "right" in summary:
        text += (
            f" Where it is known which modality decides (n = {summary['right_n']}), "
            f"the measurement agrees in {summary['right']:.1%}."
        )
    return text
