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
        list[str] | None,
        typer.Argument(
            help="Image files, texts, or, for a classifier of both, an image file and a text in turn."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Explain every row of this CSV instead.", dir_okay=False)
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column of the CSV (default: image, text, or both); twice for pairs of texts."),
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
    samples = _read_csv(csv, column) if csv is not None and column else None
    explainer, others = _open(folder)
    if csv is not None:
        samples = _read_csv(csv, list(explainer.target.modalities)) if samples is None else samples
        rows = _explain_table(explainer, samples, out, batch_size)
    else:
        rows = []
        for index, source in enumerate(in_turn(inputs or [], tuple(explainer.target.modalities))):
            rows.append(_explain_one(explainer, source, index, out, [str(r["name"]) for r in rows], others))
    write_rows(rows, json)


def in_turn(inputs: list[str], modalities: tuple[str, ...]) -> list[Any]:
    """Inputs as samples: each alone, or for several modalities in groups of one each, in their order.

    Raises:
        InputError: inputs are left over.
    """
    from sidelight.errors import InputError

    size = len(modalities)
    if size == 1:
        return list(inputs)
    if len(inputs) % size:
        raise InputError(
            f'this classifier reads {" and ".join(modalities)}: give them in turn, e.g. photo.png "a caption"; '
            f"got {len(inputs)} input(s)."
        )
    return [tuple(inputs[i : i + size]) for i in range(0, len(inputs), size)]


def _open(folder: Path) -> tuple[Explainer, Any]:
    """The explainer, and rows to exchange modalities with where there are several and the run has data."""
    from sidelight.experiment import Run
    from sidelight.explainer import Explainer

    if not (folder / "config.yaml").is_file():
        return Explainer.from_pretrained(folder), None
    run = Run.open(folder)
    explainer = run.explainer()
    several = len(explainer.target.modalities) > 1
    return explainer, run.rows("train", 16) if several else None


def _explain_one(
    explainer: Explainer, source: Any, index: int, out: Path, taken: list[str], others: Any
) -> dict[str, Any]:
    explanation = explainer.explain(source, others=others)
    file = next((s for s in ([source] if isinstance(source, str) else source) if _is_file(s)), None)
    stem = Path(file).stem if file else f"input-{index}"
    picture, data = explanation.save(out / unused(stem, taken))
    page = picture.with_suffix(".html")
    explanation.save_html(page)
    shown = source if isinstance(source, str) else " + ".join(source)
    say(f"{shown}: {explanation.label} ({explanation.probability:.1%})   {picture}, {data.name}, {page.name}")
    for remark in _remarks(explanation):
        say(f"  {remark}")
    return {
        "name": picture.stem,
        "input": source,
        "label": explanation.label,
        "probability": explanation.probability,
        "picture": str(picture),
        "data": str(data),
        "page": str(page),
    }


def _remarks(explanation: Explanation) -> list[str]:
    found, meta = [], explanation.meta
    if meta.get("truncated"):
        found.append("longer than the model reads: what lies beyond got no score")
    if meta.get("constant_map"):
        found.append("the map is constant: nothing in this input stood out to the scorer")
    if meta.get("modality_share"):
        drops = meta["modality_share"]["drops"]
        lost = ", ".join(f"{name} {drop:+.2f}" for name, drop in drops.items() if name != "all")
        found.append(f"confidence lost with another sample's: {lost}")
    return found


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
    from sidelight.ownership import own_folder

    own_folder(out)
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
