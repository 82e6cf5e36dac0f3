"""``sidelight explain``: maps for a few files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import JsonOption, quiet_libraries, say, write_rows

NAME = "explain"


def run(
    folder: Annotated[Path, typer.Argument(help="Run folder, or a scorer folder saved by save_pretrained.")],
    inputs: Annotated[list[str], typer.Argument(help="Image files (or texts, for a text classifier).")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and data.")] = Path("explanations"),
    json: JsonOption = None,
) -> None:
    """Explain what the classifier says of each INPUT: a PNG and a JSON file for each."""
    quiet_libraries()
    from sidelight.experiment import Run
    from sidelight.explainer import Explainer

    is_run = (folder / "config.yaml").is_file()
    explainer = Run.open(folder).explainer() if is_run else Explainer.from_pretrained(folder)
    rows: list[dict[str, object]] = []
    for index, source in enumerate(inputs):
        explanation = explainer.explain(source)
        stem = Path(source).stem if Path(source).is_file() else f"input-{index}"
        picture, data = explanation.save(out / unused(stem, [str(r["name"]) for r in rows]))
        rows.append(
            {
                "name": picture.stem,
                "input": source,
                "label": explanation.label,
                "probability": explanation.probability,
                "picture": str(picture),
                "data": str(data),
            }
        )
        say(f"{source}: {explanation.label} ({explanation.probability:.1%})   {picture}, {data.name}")
        if explanation.meta.get("constant_map"):
            say("  the map is constant: nothing in this input stood out to the scorer")
    write_rows(rows, json)


def unused(stem: str, taken: list[str]) -> str:
    """``stem``, or ``stem-2``, ... where an earlier input of the same name took it."""
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    return name
