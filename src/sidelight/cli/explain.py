"""``sidelight explain``: maps for a few files or texts, or for a column of a CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidelight.cli.common import JsonOption, quiet_libraries, say, write_rows

if TYPE_CHECKING:
    from sidelight.explainer import Explainer
    from sidelight.explanation import Explanation

NAME = "explain"


def run(
    folder: Annotated[Path, typer.Argument(help="Run folder, or a scorer folder saved by save_pretrained.")],
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Image files, or texts for a text classifier.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Explain every row of this CSV instead.", dir_okay=False)
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="Column of the CSV (default: text); twice for pairs of texts.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("explanations"),
    batch_size: Annotated[int, typer.Option(help="Rows a pass, with --csv.", min=1)] = 32,
    json: JsonOption = None,
) -> None:
    """Explain what the classifier says of each INPUT: a PNG, a JSON and an HTML file for each.

    With --csv the answers go to two tables in --out, explanations.csv and explanations.json.
    """
    quiet_libraries()
    from sidelight.errors import InputError

    if bool(inputs) == (csv is not None):
        raise InputError("give either inputs or --csv with a file.")
    samples = _read_csv(csv, column or ["text"]) if csv is not None else None
    explainer = _open(folder)
    if csv is not None:
        rows = _explain_table(explainer, samples, out, batch_size)
    else:
        rows = []
        for index, source in enumerate(inputs or []):
            rows.append(_explain_one(explainer, source, index, out, [str(r["name"]) for r in rows]))
    write_rows(rows, json)


def _open(folder: Path) -> Explainer:
    from sidelight.experiment import Run
    from sidelight.explainer import Explainer

    is_run = (folder / "config.yaml").is_file()
    return Run.open(folder).explainer() if is_run else Explainer.from_pretrained(folder)


def _explain_one(
    explainer: Explainer, source: str, index: int, out: Path, taken: list[str]
) -> dict[str, Any]:
    explanation = explainer.explain(source)
    stem = Path(source).stem if _is_file(source) else f"input-{index}"
    picture, data = explanation.save(out / unused(stem, taken))
    page = picture.with_suffix(".html")
    explanation.save_html(page)
    say(
        f"{source}: {explanation.label} ({explanation.probability:.1%})   {picture}, {data.name}, {page.name}"
    )
    if explanation.meta.get("truncated"):
        say("  longer than the model reads: what lies beyond got no score")
    if explanation.meta.get("constant_map"):
        say("  the map is constant: nothing in this input stood out to the scorer")
    return {
        "name": picture.stem,
        "input": source,
        "label": explanation.label,
        "probability": explanation.probability,
        "picture": str(picture),
        "data": str(data),
        "page": str(page),
    }


def _read_csv(path: Path, columns: list[str]) -> list[Any]:
    import pandas as pd

    from sidelight.errors import InputError
    from sidelight.registry import nearest

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as a CSV with a header line: {error}") from error
    for name in columns:
        if name not in frame:
            raise InputError(
                f"{path} has no column {name!r}; it has {', '.join(map(str, frame))}."
                f"{nearest(name, map(str, frame))} Name it: --column ..."
            )
    values = frame[columns].to_numpy().tolist()
    return [tuple(row) if len(row) > 1 else row[0] for row in values]


def _explain_table(explainer: Explainer, samples: Any, out: Path, batch_size: int) -> list[dict[str, Any]]:
    import pandas as pd

    from sidelight.files import replace_file, write_json

    found = explainer.explain(samples, batch_size=batch_size, progress=True)
    write_json(out / "explanations.json", [e.to_dict() for e in found])
    rows = [_table_row(number, e) for number, e in enumerate(found)]
    with replace_file(out / "explanations.csv") as tmp:
        pd.DataFrame(rows).to_csv(tmp, index=False)
    say(f"{len(rows)} rows explained: {out}/explanations.csv, explanations.json")
    return rows


def _table_row(number: int, explanation: Explanation) -> dict[str, Any]:
    """One line of the CSV: the decision, and for texts the words that counted most."""
    row: dict[str, Any] = {
        "row": number,
        "label": explanation.label,
        "probability": round(explanation.probability, 6),
        "truncated": bool(explanation.meta.get("truncated")),
    }
    for name, scores in explanation.scores.items():
        shown = explanation.inputs[name]
        if isinstance(shown, list):
            best = sorted(zip(scores.tolist(), shown, strict=True), key=lambda pair: -pair[0])[:5]
            row[f"{name}_top"] = " | ".join(
                f"{word.strip()} {score:.2f}" for score, word in best if score > 0
            )
        row[f"{name}_mean_score"] = round(float(scores.mean()), 6)
    return row


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):  # a text can be too long for a name, or hold a null character
        return False


def unused(stem: str, taken: list[str]) -> str:
    """``stem``, or ``stem-2``, ... where an earlier input of the same name took it."""
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    return name
