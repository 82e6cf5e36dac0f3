"""``sidelight speed``: the time of an explanation beside that of a classification."""

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
#: the default model
DEFAULT = "vit-b16"


ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Hub id or folder of a classifier, a run folder, or a model of --zoo, e.g. roberta-base-shape "
        "(default: vit-b16)."
    ),
]
BatchOption = Annotated[
    list[int] | None, typer.Option(min=1, help="Batch size. Repeatable (default: 1 and 8).")
]
RivalOption = Annotated[
    list[str] | None,
    typer.Option(help="Baseline method to time. Repeatable (default: all; 'none' for none)."),
]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads (default: as torch decides).")]


def run(
    folder: Annotated[str | None, typer.Argument(metavar="RUN", help="The same as --model.")] = None,
    model: ModelOption = None,
    batch: BatchOption = None,
    tokens: Annotated[
        int, typer.Option(help="Length of the texts in tokens, for text classifiers.", min=3)
    ] = 128,
    rival: RivalOption = None,
    threads: ThreadsOption = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each number is measured.")] = 15,
    zoo: Annotated[
        bool,
        typer.Option("--zoo", help="Time fifteen published models with random weights, one after another."),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Measure how much longer explaining takes than classifying, for every method, and the memory that it needs.

    For a run folder it also says after how many explanations the scorer's
    training has saved time.
    """
    quiet_libraries()
    import torch

    from sidelight.lab.baselines import DEFAULT_RIVALS, make_rival
    from sidelight.lab.evaluation.methods import supports
    from sidelight.lab.speed.measure import measure_speed
    from sidelight.lab.speed.subjects import speed_subject, training_seconds

    if threads:
        torch.set_num_threads(threads)
    sizes = _sizes(batch, rival)
    if zoo:
        _time_zoo(_zoo_models(folder, model, rival), sizes, tokens, repeats, json)
        return
    subject = chosen(folder, model)
    explainer, inputs = speed_subject(subject, max(sizes), tokens)
    names = [r for r in rival if r != "none"] if rival else list(DEFAULT_RIVALS)
    rivals = [r for r in map(make_rival, names) if supports(r, explainer.target)]
    say(
        f"target: {explainer.target.name}; scorer: {explainer.scorer.num_parameters:,} parameters; "
        f"{torch.get_num_threads()} threads"
    )
    rows = measure_speed(explainer, inputs, rivals, sizes, repeats, on_row=_say_row)
    _tell(rows, training_seconds(subject), json)


def _sizes(batch: list[int] | None, rival: list[str] | None) -> list[int]:
    """The batch sizes. Before a model is loaded, it is an error if one of them, or a method, is given twice."""
    from sidelight.lab.speed.measure import require_once

    require_once(rival or [], "method")
    require_once(batch or [], "batch size")
    return batch or [1, 8]


def _zoo_models(folder: str | None, model: str | None, rival: list[str] | None) -> list[str]:
    """The models of ``--zoo`` to time: one if it is named, else all, as an empty list.

    Raises:
        ConfigError: an option was given that ``--zoo`` has no use for.
    """
    from sidelight.errors import ConfigError
    from sidelight.lab.speed.zoo import SHAPES

    if rival and rival != ["none"]:
        raise ConfigError(
            "--zoo times no baseline methods. Leave out --rival, or leave out --zoo and give a model."
        )
    if folder is None and model is None:
        return []
    subject = chosen(folder, model)
    if subject not in SHAPES:
        raise ConfigError(
            f"--zoo times models with random weights, and {subject!r} is none of them. Leave out --zoo to time it, or "
            f"choose one of {', '.join(SHAPES)}."
        )
    return [subject]


def _time_zoo(
    models: Sequence[str], sizes: Sequence[int], tokens: int, repeats: int, json: Path | None
) -> None:
    """Time the models of the zoo, print one table, and write its rows."""
    from sidelight.core.terminal import print_table
    from sidelight.lab.speed.measure import time_zoo
    from sidelight.lab.tables.table import text_table
    from sidelight.lab.tables.terminal import terminal

    rows = time_zoo(
        sizes,
        tokens,
        repeats,
        models,
        on_row=lambda row: say(f"  {row['model']:<20} batch {row['batch']:<3} ×{row['ratio']:.3f}"),
    )
    headings = ["model", "parameters", "batch", "classify ms", "explain ÷ classify", "memory ÷ classify"]
    lines = [
        [
            row["model"],
            f"{row['parameters'] / 1e6:.1f} M",
            str(row["batch"]),
            f"{row['classify_ms']:.1f}",
            f"{row['ratio']:.3f}",
            f"{row['memory_ratio']:.2f}",
        ]
        for row in rows
    ]
    print_table(terminal(text_table("", headings, lines, left=False)))
    write_rows(rows, json)


def _say_row(row: SpeedRow) -> None:
    say(f"  {row.method:<22} batch {row.batch:<3} ×{row.ratio:.3f}")


def chosen(folder: str | None, model: str | None) -> str:
    """The model to time: the argument, the option, or the default.

    Raises:
        ConfigError: argument and option differ.
    """
    from sidelight.errors import ConfigError

    if folder is not None and model is not None and folder != model:
        raise ConfigError(f"give either {folder!r} or --model {model!r}: one classifier is timed in a call.")
    return folder or model or DEFAULT


def _tell(rows: Sequence[SpeedRow], training: float | None, json: Path | None) -> None:
    """Print and write the table. With ``training`` seconds it tells when these have paid for themselves."""
    from sidelight.lab.speed.measure import break_even

    paid = {} if training is None else {(b.method, b.batch): b for b in break_even(rows, training)}
    _print_table(rows, paid)
    if paid:
        say(
            f"paid for after: after so many explanations, training the scorer ({training:.0f} s) and explaining with it "
            "has taken less time than the other method, if it was trained on a machine like this one."
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
