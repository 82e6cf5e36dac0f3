"""``sidelight compare``: one input, several methods, one table and one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidelight.cli.common import JsonOption, say, write_rows
from sidelight.cli.explain import AsTextOption, FolderArgument, ModelOption, TargetOption
from sidelight.core.quiet import quiet_libraries

if TYPE_CHECKING:
    from sidelight.lab.side_by_side.result import Comparison

NAME = "compare"

InputArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="An image file, a text or a text file, or, for a classifier of both, an image file and a text.",
    ),
]
MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Baseline method; repeatable (default: saliency, integrated_gradients, occlusion, random)."
    ),
]
AreaOption = Annotated[float, typer.Option(help="Share of the features that each method keeps, and removes.")]
FillOption = Annotated[
    list[str] | None,
    typer.Option(help="Fill of removed features; repeatable (default: two without randomness)."),
]
OutOption = Annotated[
    Path | None,
    typer.Option(help="Also write a page (.html), the picture (.png, .svg, .pdf) or the table (.md)."),
]


def run(
    folder: FolderArgument,
    sample: InputArgument,
    method: MethodOption = None,
    area: AreaOption = 0.2,
    fill: FillOption = None,
    target: TargetOption = None,
    model: ModelOption = None,
    as_text: AsTextOption = False,
    out: OutOption = None,
    json: JsonOption = None,
) -> None:
    """Explain one INPUT by the scorer and by other methods: what each costs, and what its map keeps and loses.

    For many inputs use `evaluate`, because one input does not say which method is better.
    """
    quiet_libraries()
    from sidelight.cli.explain import in_turn, named_texts, open_explainer, sample_of
    from sidelight.errors import InputError
    from sidelight.lab.side_by_side.compare import DEFAULT_METHODS, compare
    from sidelight.lab.side_by_side.result import require_place

    if out is not None:
        require_place(out)
    explainer, _ = open_explainer(folder, model)
    modalities = tuple(explainer.target.modalities)
    groups = in_turn(sample, modalities)
    if len(groups) != 1:
        raise InputError(f"one input is compared at a time; got {len(groups)}.")
    whole = sample_of(groups[0], modalities, as_text)
    with named_texts(as_text):
        found = compare(
            explainer, whole, method or DEFAULT_METHODS, target=target, area=area, fills=fill or ()
        )
    _tell(found)
    if out is not None:
        say(f"written: {found.save(out)}")
    write_rows(found.rows(), json)


def _tell(found: Comparison) -> None:
    from sidelight.core.terminal import print_table
    from sidelight.lab.tables.terminal import terminal

    print_table(terminal(found.table))
    say(found.caption)
