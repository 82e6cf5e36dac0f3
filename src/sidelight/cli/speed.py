"""``sidelight speed``: what an explanation costs beside the classification it explains."""

from __future__ import annotations

from typing import Annotated

import typer

from sidelight.cli.common import JsonOption, quiet_libraries, say, write_rows

NAME = "speed"


def run(
    model: Annotated[
        str,
        typer.Option(
            help="Hub id or folder of a classifier, a run folder, or random weights: vit-b16, roberta-base-shape."
        ),
    ] = "vit-b16",
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
    """Time classification against explanation, in turn in one run, with peak memory."""
    quiet_libraries()
    import torch
    from rich.console import Console
    from rich.table import Table

    from sidelight.baselines import DEFAULT_RIVALS, make_rival
    from sidelight.benchmark.models import speed_subject
    from sidelight.benchmark.run import supports
    from sidelight.benchmark.speed import measure_speed

    if threads:
        torch.set_num_threads(threads)
    sizes = batch or [1, 8]
    explainer, inputs = speed_subject(model, max(sizes), tokens)
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
    table = Table("method", "batch", "classify ms", "explain ms", "explain ÷ classify", "peak MB")
    for r in rows:
        table.add_row(
            r.method,
            str(r.batch),
            f"{r.classify_ms:.1f}",
            f"{r.explain_ms:.1f}",
            f"{r.ratio:.3f}",
            f"{r.peak_mb:.0f}",
        )
    Console().print(table)
    write_rows([r.to_dict() for r in rows], json)
