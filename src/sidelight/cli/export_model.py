"""``sidelight export-model``: the classifier and its scorer as one file for other programs.

Its name says what goes out. ``sidelight export`` beside ``sidelight export-maps`` would leave open which of both it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import OverwriteOption, say
from sidelight.cli.explain import FolderArgument, ModelOption
from sidelight.core.quiet import quiet_libraries

NAME = "export-model"


def run(
    folder: FolderArgument,
    out: Annotated[Path, typer.Option(help="File to write, .onnx or .pt2.", dir_okay=False)],
    model: ModelOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the classifier with its scorer as one ONNX (or torch.export) file that gives logits and scores.

    The file is compared with PyTorch before it takes its place. OUT.json beside it says what a caller needs: inputs,
    outputs, classes, preprocessing. For texts OUT.tokenizer holds the tokenizer.
    """
    quiet_libraries()
    from sidelight.cli.explain import open_explainer
    from sidelight.core.files import file_path
    from sidelight.core.ownership import overwriting, require_free
    from sidelight.core.refusals import require_writable

    with overwriting(overwrite):
        files = [file_path(out), file_path(f"{out}.json")]
        require_free(files, "Choose another --out, or replace this file with --overwrite.")
        require_writable(out)
        explainer, _ = open_explainer(folder, model)
        explainer.target.model.to("cpu")  # a file of torch.export runs on the device on which it was made
        written = explainer.export(out)
    say(f"model: {written}   beside it: {written.name}.json")
