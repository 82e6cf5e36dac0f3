"""``sidelight explain``: maps of a few files or texts, or of every row of a table or picture of a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sidelight.cli.common import JsonOption, say, write_rows
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries
from sidelight.errors import for_terminal

if TYPE_CHECKING:
    from sidelight.explainer import Explainer
    from sidelight.explanations.explanation import Explanation

NAME = "explain"
#: a text that looks like the name of a file
_LIKE_A_FILE = re.compile(r"^\S*(?:\.(?:txt|md|html?|json|csv|text)|/\S+)$", re.IGNORECASE)


FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder that save_pretrained or `sidelight fit` wrote.")
]
InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUTS",
        help="Image files, texts or text files. For a classifier of both: an image file, its text, and so on.",
    ),
]
CsvOption = Annotated[
    Path | None, typer.Option(help="Explain every row of this CSV or TSV file.", dir_okay=False)
]
ParquetOption = Annotated[
    Path | None, typer.Option(help="Explain every row of this Parquet file.", dir_okay=False)
]
JsonlOption = Annotated[
    Path | None, typer.Option(help="Explain every row of this file of JSON lines.", dir_okay=False)
]
PicturesOption = Annotated[
    Path | None, typer.Option("--folder", help="Explain every picture in this folder.", file_okay=False)
]
HubOption = Annotated[
    str | None,
    typer.Option(
        "--hub-dataset", help="Explain every row of this data set of the hub, 'owner/name'.", metavar="ID"
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(help="Split of the data set of the hub, e.g. test (default: the training split)."),
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Column of the table with the input (default: a usual name, such as image, text or sentence). "
        "Give it twice for two."
    ),
]
OutOption = Annotated[Path, typer.Option(help="Folder for the answers.")]
ModelOption = Annotated[
    str | None,
    typer.Option(help="Folder or hub id of the classifier, if the scorer does not find it by itself."),
]
BatchOption = Annotated[int, typer.Option(help="Rows in each pass, for tables and folders.", min=1)]
BlockOption = Annotated[
    int,
    typer.Option(help="Rows in each file, for tables and folders. Those of two files are in memory.", min=1),
]
ScoresOption = Annotated[
    str | None,
    typer.Option(
        help="Type of stored scores: float32, float16 or uint8 (default: float32 for words, float16 for pixels)."
    ),
]
EngineOption = Annotated[
    str, typer.Option(help="Where rows are explained: local, or ray for a Ray cluster (needs the extra ray).")
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Workers of Ray (default: one for each GPU, or by the CPUs).", min=1)
]
TargetOption = Annotated[
    str | None,
    typer.Option(help="Class to explain: a name, a number, or 'second' (default: the predicted one)."),
]
VersusOption = Annotated[
    str | None, typer.Option(help="A second class: explain why the first one and not this one.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Stop at the first row that cannot be explained.")
]
ReadingOption = Annotated[
    str,
    typer.Option(
        help="Reading that the picture and page of an input show: scores, or effects (what speaks for the class and "
        "against it)."
    ),
]
AsTextOption = Annotated[
    bool, typer.Option("--as-text", help="Take inputs as texts, even if there are files with such names.")
]


def run(
    folder: FolderArgument,
    inputs: InputsArgument = None,
    csv: CsvOption = None,
    parquet: ParquetOption = None,
    jsonl: JsonlOption = None,
    pictures: PicturesOption = None,
    hub_dataset: HubOption = None,
    split: SplitOption = None,
    column: ColumnOption = None,
    out: OutOption = Path("explanations"),
    model: ModelOption = None,
    batch_size: BatchOption = 32,
    block_rows: BlockOption = 256,
    scores: ScoresOption = None,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    strict: StrictOption = False,
    target: TargetOption = None,
    versus: VersusOption = None,
    reading: ReadingOption = "scores",
    as_text: AsTextOption = False,
    json: JsonOption = None,
) -> None:
    """Explain the decision on each of the INPUTS, or on each row of a table or picture of a folder.

    An input gives a PNG, a JSON and an HTML file. A table or folder gives
    explanations.csv, for texts also explanations.json, and all maps, which
    sidelight.read_explanations reads.

    If a row cannot be explained, errors.csv says why, and the others are
    explained. If the command is killed, call it again, and it continues.
    """
    quiet_libraries()
    given = {"csv": csv, "parquet": parquet, "jsonl": jsonl, "folder": pictures, None: hub_dataset}
    place = _of_split(_only_source(given, bool(inputs), reading), split)
    classes = {"target": target, "versus": versus}
    if place is None:
        _explain_inputs(folder, model, inputs or [], out, as_text, strict, classes, json, reading)
        return
    resumes()
    from sidelight.cli.explain_table import explain_table
    from sidelight.explanations.job import Job

    options = {name: wanted for name, wanted in classes.items() if wanted is not None}
    sizes = (column or [], block_rows, batch_size, strict, options, True, place[0])
    job = Job(place[1], out, *sizes, scores=scores, engine=engine, workers=workers, tell=say)
    rows = explain_table(job, lambda: open_explainer(folder, model)[0], json is not None)
    write_rows(rows, json)


def _only_source(given: dict[str | None, Any], inputs: bool, reading: str) -> tuple[str | None, Any] | None:
    """The kind and place of the only table or folder that is given, or ``None`` if there are inputs.

    Raises:
        InputError: there is neither, or both, or more than one, or ``reading`` has no picture.
    """
    from sidelight.core.shown import require_drawable
    from sidelight.errors import InputError

    if require_drawable(reading) != "scores" and not inputs:
        raise InputError(
            "--reading is for single inputs. Tables of many rows hold every reading; leave it out."
        )

    sources = [(kind, place) for kind, place in given.items() if place is not None]
    if len(sources) + inputs != 1:
        raise InputError(
            "give either inputs, or one of --csv, --parquet, --jsonl, --folder and --hub-dataset."
        )
    return sources[0] if sources else None


def _of_split(place: tuple[str | None, Any] | None, split: str | None) -> tuple[str | None, Any] | None:
    from sidelight.errors import InputError
    from sidelight.rows.hub import split_of_hub

    if split is None:
        return place
    if place is None or place[0] is not None:
        raise InputError("--split goes with --hub-dataset. Name the table or folder of this split instead.")
    return None, split_of_hub(place[1], split, "--hub-dataset")


def _explain_inputs(
    folder: Path,
    model: str | None,
    inputs: list[str],
    out: Path,
    as_text: bool,
    strict: bool,
    classes: dict[str, str | None],
    json: Path | None,
    reading: str,
) -> None:
    explainer, others = open_explainer(folder, model)
    samples = in_turn(inputs, tuple(explainer.target.modalities))
    how = {"as_text": as_text, "classes": classes, "reading": reading}
    about = {"scorer": str(folder.absolute()), "others": others, **how}
    rows = _explain_each(explainer, samples, out, about, strict or len(samples) == 1)
    write_rows(rows, json)
    if len(rows) < len(samples):
        say(f"{len(samples) - len(rows)} of {len(samples)} inputs could not be explained")
        raise typer.Exit(2)


def in_turn(inputs: list[str], modalities: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Inputs as samples: single ones, or for several modalities groups with one input of each, in order.

    Raises:
        InputError: inputs are left over.
    """
    from sidelight.errors import InputError

    size = len(modalities)
    if len(inputs) % size:
        raise InputError(
            f'this classifier reads {" and ".join(modalities)}: give them in turn, e.g. photo.png "a caption"; '
            f"got {len(inputs)} input(s)."
        )
    return [tuple(inputs[i : i + size]) for i in range(0, len(inputs), size)]


def open_explainer(folder: Path, model: str | None) -> tuple[Explainer, Any]:
    """The explainer on the accelerator, if there is one, and rows for exchanging modalities.

    The rows are ``None`` if there is one modality, or no data of a run.

    Raises:
        ConfigError: a model is named for a run folder, which has its own.
    """
    from sidelight.core.processes import device
    from sidelight.errors import ConfigError
    from sidelight.explainer import Explainer

    if not (folder / "config.yaml").is_file():
        alone = Explainer.from_pretrained(folder, model)
        alone.target.model.to(device())
        return alone, None
    from sidelight.lab.runs.run import Run

    if model is not None:
        raise ConfigError(
            "--model goes with a scorer folder; a run folder knows its classifier. Leave it out."
        )
    run = Run.open(folder)
    explainer = run.explainer()
    several = len(explainer.target.modalities) > 1
    return explainer, run.rows("train", 16) if several else None


def _explain_each(
    explainer: Explainer, inputs: list[tuple[str, ...]], out: Path, about: dict[str, Any], strict: bool
) -> list[dict[str, Any]]:
    """A row for each input that can be explained. Other errors are printed, and with ``strict`` raised."""
    from sidelight.cli.common import tell_error
    from sidelight.errors import InputError, InputTypeError

    rows = []
    for index, source in enumerate(inputs):
        try:
            rows.append(_explain_one(explainer, source, index, out, about))
        except (InputError, InputTypeError) as error:
            if strict:
                raise
            tell_error(f"{for_terminal(' + '.join(source))}: {error}")
    return rows


def _explain_one(
    explainer: Explainer, source: tuple[str, ...], index: int, out: Path, about: dict[str, Any]
) -> dict[str, Any]:
    from sidelight.cli.outputs import saved
    from sidelight.explanations.table_lines import further_cells

    as_text = about["as_text"]
    sample = sample_of(source, tuple(explainer.target.modalities), as_text)
    with named_texts(as_text):
        explanation = explainer.explain(sample, others=about["others"], **about["classes"])
    file = None if as_text else next((part for part in source if is_file(part)), None)
    explanation.meta["source"] = [_place(part) if not as_text else part for part in source]
    explanation.meta["scorer"] = about["scorer"]
    picture, data, page = saved(
        explanation, out, Path(file).stem if file else f"input-{index}", about["reading"]
    )
    say(
        f"{for_terminal(' + '.join(source))}: {for_terminal(explanation.label)} ({explanation.probability:.1%})   "
        f"{for_terminal(picture)}, {data.name}, {page.name}"
    )
    if explanation.explained != explanation.prediction or explanation.versus is not None:
        say(f"  {for_terminal(_class_explained(explanation))}")
    for remark in _remarks(explanation):
        say(f"  {remark}")
    return {
        "name": picture.stem,
        "input": source[0] if len(source) == 1 else list(source),
        "label": explanation.label,
        "probability": explanation.probability,
        **further_cells(explanation),
        "picture": str(picture),
        "data": str(data),
        "page": str(page),
    }


def named_texts(asked: bool) -> AbstractContextManager[None]:
    """No warning that a text is the name of a file, if such texts were ``asked`` for."""
    from sidelight.core.quiet import told_once
    from sidelight.inputs.file_names import FileNameWarning

    return told_once({FileNameWarning} if asked else set())


def sample_of(source: tuple[str, ...], modalities: Sequence[str], as_text: bool) -> str | tuple[str, ...]:
    """The sample that arguments name: an image file stays its path, and a text file becomes its content.

    Raises:
        InputError: a file cannot be read, or an image and its text are swapped.
    """
    from sidelight.errors import InputError
    from sidelight.rows.table_files import PICTURES, suffix

    given = dict(zip(modalities, source, strict=True))
    image, text = given.get("image", ""), given.get("text", "")
    picture_read = suffix(text) in PICTURES and is_file(text) and not as_text
    if image and picture_read and suffix(image) not in PICTURES:
        raise InputError(
            f"{text!r} is a picture in the place of the text, and {image!r:.60} is none: the two are swapped. Give the "
            'image file first, then its text, e.g. photo.png "a caption".'
        )
    parts = tuple(_content(part, modality, as_text) for modality, part in given.items())
    return parts[0] if len(parts) == 1 else parts


def _content(part: str, modality: str, as_text: bool) -> str:
    """The content of a text file, or the argument itself."""
    if modality != "text" or as_text:
        return part
    if not is_file(part):
        if _LIKE_A_FILE.search(part):
            say(f"{for_terminal(part)}: there is no such file; it is explained as a text")
        return part
    from sidelight.cli.outputs import read_text_file

    say(f"{for_terminal(part)}: a file, read as text (--as-text explains its name instead)")
    return read_text_file(Path(part))


def _place(part: str) -> str:
    """The name of an input in saved data: for a file its absolute path."""
    return str(Path(part).absolute()) if is_file(part) else part


def _class_explained(explanation: Explanation) -> str:
    chosen, own = explanation.explained_label, explanation.explained_probability
    known = "" if own is None or explanation.probabilities is None else f" ({own:.1%})"
    against = explanation.versus_label
    return f"the map is of {chosen}{known}" + (f", and not {against}" if against is not None else "")


def _remarks(explanation: Explanation) -> list[str]:
    found, meta = [], explanation.meta
    if "value" in meta:
        found.append(f"the model's value is {meta['value']:.6g}")
    if meta.get("truncated"):
        found.append("longer than the model reads: the rest was cut and has no score")
    if meta.get("constant_map"):
        found.append("the map is constant: all scores are equal, so it says nothing")
    if meta.get("modality_share"):
        from sidelight.core.digits import with_sign  # numpy takes time that --help does not have

        drops = meta["modality_share"]["drops"]
        lost = ", ".join(f"{name} {with_sign(drop)}" for name, drop in drops.items() if name != "all")
        found.append(f"probability lost if it is exchanged with another sample's: {lost}")
    return found


def is_file(source: str) -> bool:
    """Whether ``source`` names a regular file. A text may be too long for a name, or hold a null character."""
    try:
        return Path(source).is_file()
    except (OSError, ValueError):
        return False
