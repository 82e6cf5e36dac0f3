"""``sidelight speed``: what an explanation costs beside the classification it explains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sidelight.cli.common import JsonOption, say, write_rows
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sidelight.lab.speed.measure import BreakEven, SpeedRow

NAME = "speed"
#: timed if nothing is named
DEFAULT = "vit-b16"


def run(
    folder: Annotated[str | None, typer.Argument(metavar="[RUN]", help="As --model.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Hub id or folder of a classifier, a run folder, or random weights: vit-b16 (default), "
            "roberta-base-shape, vit-roberta-shape."
        ),
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(min=1, help="Batch size; repeatable (default 1 and 8).")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Length of the texts, for text classifiers.", min=3)] = 128,
    rival: Annotated[
        list[str] | None, typer.Option(help="Rival to time; repeatable (default: all; 'none' for none).")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads (default: as torch decides).")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Pairs of passes for each figure.")] = 15,
    json: JsonOption = None,
) -> None:
    """Time classification against explanation, in turn in one run, with peak memory.

    Of a run folder, whose training was timed, also from how many explanations on the scorer is the cheaper way.
    """
    quiet_libraries()
    import torch

    from sidelight.lab.baselines import DEFAULT_RIVALS, make_rival
    from sidelight.lab.evaluation.methods import supports
    from sidelight.lab.speed.measure import measure_speed
    from sidelight.lab.speed.subjects import speed_subject, training_seconds

    if threads:
        torch.set_num_threads(threads)
    sizes = batch or [1, 8]
    subject = chosen(folder, model)
    explainer, inputs = speed_subject(subject, max(sizes), tokens)
    names = list(DEFAULT_RIVALS) if not rival else [r for r in rival if r != "none"]
    rivals = [r for r in map(make_rival, names) if supports(r, explainer.target)]
    say(
        f"target: {explainer.target.name}; scorer: {explainer.scorer.num_parameters:,} parameters; "
        f"{torch.get_num_threads()} threads"
    )
    rows = measure_speed(
        explainer,
        inputs,
        rivals,
        sizes,
        repeats,
        on_row=lambda r: say(f"  {r.method:<22} batch {r.batch:<3} ×{r.ratio:.3f}"),
    )
    _tell(rows, training_seconds(subject), json)


def chosen(folder: str | None, model: str | None) -> str:
    """What is timed: the argument, the option, or the default.

    Raises:
        ConfigError: both are given and differ.
    """
    from sidelight.errors import ConfigError

    if folder is not None and model is not None and folder != model:
        raise ConfigError(f"give either {folder!r} or --model {model!r}: one classifier is timed in a call.")
    return folder or model or DEFAULT


def _tell(rows: Sequence[SpeedRow], training: float | None, json: Path | None) -> None:
    """The table, on the terminal and in a file; with ``training`` seconds also when they have paid for themselves."""
    from sidelight.lab.speed.measure import break_even

    paid = {} if training is None else {(b.method, b.batch): b for b in break_even(rows, training)}
    _print_table(rows, paid)
    if paid:
        say(
            f"paid for after: explanations from which on training the scorer ({training:.0f} s) and explaining with "
            "it costs less than the rival, if it was trained on a machine like this one."
        )
    counts = {key: {"break_even": b.explanations} for key, b in paid.items()}
    write_rows([{**r.to_dict(), **counts.get((r.method, r.batch), {})} for r in rows], json)


def _print_table(rows: Sequence[SpeedRow], paid: Mapping[tuple[str, int], BreakEven]) -> None:
    from sidelight.core.terminal import print_table
    from sidelight.lab.tables.table import text_table
    from sidelight.lab.tables.terminal import terminal

    headings = ["method", "batch", "classify ms", "explain ms", "explain ÷ classify", "peak MB"]
    lines = [
        [
            r.method,
            str(r.batch),
            f"{r.classify_ms:.1f}",
            f"{r.explain_ms:.1f}",
            f"{r.ratio:.3f}",
            f"{r.peak_mb:.0f}",
            *([_paid_for(paid.get((r.method, r.batch)))] if paid else []),
        ]
        for r in rows
    ]
    print_table(terminal(text_table("", headings + (["paid for after"] if paid else []), lines, left=False)))


def _paid_for(found: BreakEven | None) -> str:
    if found is None:
        return ""
    return "never" if found.explanations is None else f"{found.explanations:,}"
