"""What is saved, shown and printed: kinds of files, notebooks, terminals, tables, names of commands and settings."""

from __future__ import annotations

import ast
import functools
import io
import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer.main
from fault_models import T
from rich.table import Table

import sidelight.core.terminal
from sidelight import Explainer, Explanation, read_explanations
from sidelight.cli.app import app
from sidelight.cli.listing import entries, known
from sidelight.cli.speed import DEFAULT, chosen
from sidelight.core import ownership
from sidelight.core.safe_output import csv_of
from sidelight.core.terminal import (
    SafeConsole,
    SafeFormatter,
    counting_bar,
    fitting,
    print_table,
    row_bar,
    track,
)
from sidelight.errors import CheckpointError, ConfigError, InputError, SidelightError, UnknownNameError
from sidelight.lab.audit import CHECKS
from sidelight.lab.config.files import load_config
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal

ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b[31m映画\ud800$x$\u202e"


def explanation(label: str = "good") -> Explanation:
    return Explanation({"text": [0.1, 1.0]}, {"text": ["fine ", "film"]}, 0, label, 0.5)


# -- saving -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "picture", "begin"),
    [
        ("why.svg", "why.svg", b"<?xml"),
        ("why.pdf", "why.pdf", b"%PDF"),
        ("why.png", "why.png", b"\x89PNG"),
        ("why.html", "why.html", b"<!doctype html>"),
        ("why.json", "why.png", b"\x89PNG"),
        ("why", "why.png", b"\x89PNG"),
        ("photo.v2", "photo.v2.png", b"\x89PNG"),
        ("new/", "new/explanation.png", b"\x89PNG"),
        ("there", "there/explanation.png", b"\x89PNG"),
    ],
)
def test_kind_a_name_says_what_is_saved(name: str, picture: str, begin: bytes, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    where = f"{tmp_path}/{name}"
    found = explanation().save(where)
    data = re.sub(r"\.(svg|pdf|png|html)$", ".json", picture)
    assert found == (tmp_path / picture, tmp_path / data)
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*")} == {picture, data}
    assert (tmp_path / picture).read_bytes().startswith(begin)
    assert Explanation.load(where).label == "good"
    ownership._written.clear()  # as another process: the files say themselves that they are ours
    explanation("new").save(where)
    assert Explanation.load(where).label == "new"


@pytest.mark.parametrize("name", ["x.jpg", "x.TXT", "x.npz"])
def test_kind_a_kind_of_file_that_is_not_written_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.svg, \.pdf, \.html or \.json"):
        explanation().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "/", ".", "..", "a\0b"])
def test_kind_a_name_of_no_file_is_refused(name: str) -> None:
    with pytest.raises(SidelightError, match="names no file"):
        explanation().save(name)


def test_kind_a_figure_is_shown_at_the_end_of_a_cell() -> None:
    import matplotlib.pyplot as plt

    figure: Any = explanation().plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", ["x.png", "x.svg", "x.pdf"])
def test_kind_a_figure_that_was_saved_by_itself_may_be_replaced(name: str, tmp_path: Path) -> None:
    explanation().plot().savefig(tmp_path / name)
    ownership._written.clear()
    explanation("new").save(tmp_path / name)
    assert Explanation.load(tmp_path / name).label == "new"


def test_kind_letters_without_a_glyph_do_not_warn(tmp_path: Path) -> None:
    hostile = Explanation({"text": [0.1, 1.0]}, {"text": ["映画 ", HOSTILE]}, 0, HOSTILE, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hostile.save(tmp_path / "x.png")
        hostile.save(tmp_path / "y.svg")
        hostile.save(tmp_path / "z.html")
        hostile.plot().savefig(tmp_path / "own.png", bbox_inches="tight")
    again = Explanation.load(tmp_path / "x.json")
    assert (again.label, again.inputs) == (hostile.label, hostile.inputs)
    page = (tmp_path / "z.html").read_text(encoding="utf-8")
    assert not set("\x1b\u202e") & set(page)


# -- the terminal -------------------------------------------------------------------


def printed(monkeypatch: pytest.MonkeyPatch, what: Any, width: int = 80) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    out = io.StringIO()
    for stream in ("stdout", "stderr"):  # bars are drawn on the latter
        monkeypatch.setattr(sys, stream, out)
    what()
    monkeypatch.undo()
    return out.getvalue()


def test_kind_tables_are_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(
        "method", *[f"heading {i:02d}" for i in range(12)], title="the title", caption="the caption"
    )
    rows = [[f"method {k}", *[f"{k}.{i:03d}" for i in range(12)]] for k in range(3)]
    for row in rows:
        table.add_row(*row)
    text = printed(monkeypatch, lambda: print_table(table))
    assert max(map(len, text.splitlines())) <= 80
    for cell in [c for row in rows for c in row[1:]] + [f"heading {i:02d}" for i in range(12)]:
        assert text.count(cell) == 1, cell
    assert text.count("the title") == text.count("the caption") == 1
    assert len(fitting(table, SafeConsole(width=400))) == 1


def test_kind_a_title_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich breaks it into lines of the width of the columns, and the only column of an audit has five letters."""
    table = text_table("Draws that keep the prediction", ["share"], [["0.93"]])
    lines = printed(monkeypatch, lambda: print_table(terminal(table, "a caption of many words"))).splitlines()
    assert (lines[0].strip(), lines[-1].strip()) == (table.title, "a caption of many words")


@pytest.mark.parametrize("name", ["classes", "encoding", "parameters", "retraining", "stability"])
def test_kind_audits_are_readable_at_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = json.loads((ROOT / "results" / "mnist" / "audit" / f"{name}.json").read_text())
    for found in CHECKS[name].tables(findings):
        table = terminal(found)
        text = printed(monkeypatch, lambda table=table: print_table(table))
        assert max(map(len, text.splitlines())) <= 80
        whole = " ".join(re.split(r"[\s│┃]+", text))
        cells = [str(c) for column in table.columns for c in column.cells]
        assert len(cells) == len(found.lines) * (1 + len(found.columns))
        for cell in cells:
            assert " ".join(cell.split()) in whole, cell


def test_kind_what_is_printed_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "a\x1b[2Jb\x1b]0;t\x07 [bold]c[/bold] \u202e"
    table = Table(hostile, "n", title=hostile)
    table.add_row(hostile, "1")

    def all_ways() -> None:
        print_table(table)
        SafeConsole().print(hostile)
        list(track([1], hostile))
        with counting_bar() as bar:
            bar.add_task(hostile, total=1, completed=1)

    text = printed(monkeypatch, all_ways, 200)
    assert not set("\x1b\x07\u202e") & set(text)
    assert text.count("a\\x1b[2Jb\\x1b]0;t\\x07 [bold]c[/bold] \\u202e") == 6


def test_kind_errors_and_logs_are_harmless() -> None:
    for kind in (InputError, UnknownNameError, CheckpointError):
        assert str(kind("no \x1b[2J\nhere")) == "no \\x1b[2J\nhere"
    record = logging.LogRecord("sidelight", 30, "", 0, "label %s", ("\x1b[2J",), None)
    assert SafeFormatter("%(message)s").format(record) == "label \\x1b[2J"


def test_kind_bars_do_not_warn_in_a_notebook_without_widgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(sidelight.core.terminal.importlib.util, "find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with counting_bar() as bar:
            task = bar.add_task("x", total=2)
            bar.update(task, advance=1)
            bar.refresh()
        list(track([1, 2], "y"))


@pytest.mark.parametrize("bars", ["counting", "rows", "track"])
def test_kind_bars_end_full_in_a_notebook(monkeypatch: pytest.MonkeyPatch, bars: str) -> None:
    """Rich draws nothing at the end there, so that a finished training stood at 35 of 44."""
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(sidelight.core.terminal.importlib.util, "find_spec", lambda name: name)
    drawn: list[float] = []

    def refresh(live: Any) -> None:
        drawn.extend(task.completed for task in live._get_renderable.__self__.tasks)

    monkeypatch.setattr("rich.live.Live.refresh", refresh)
    if bars == "track":
        list(track(range(44), "y"))
    else:
        with (counting_bar if bars == "counting" else row_bar)() as bar:
            task = bar.add_task("x", total=44)
            bar.update(task, completed=44)
    assert drawn[-1] == 44


def test_kind_a_notebook_gets_lines_that_fit_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(sidelight.core.terminal.importlib.util, "find_spec", lambda name: name)
    assert SafeConsole().width == sidelight.core.terminal.NOTEBOOK_COLUMNS
    assert SafeConsole(width=50).width == 50
    monkeypatch.setenv("JUPYTER_COLUMNS", "120")
    assert SafeConsole().width == 120


def test_kind_tables_for_spreadsheets_are_harmless() -> None:
    text = csv_of(pd.DataFrame({"=method": ["=1+1", None, "-2.5"], "mean": [-1.5, float("nan"), 2.0]}))
    assert text == "'=method,mean\n'=1+1,-1.5\n,\n-2.5,2.0\n"


# -- commands and words -------------------------------------------------------------


def test_kind_list_names_everything_and_imports_nothing_heavy() -> None:
    assert known() == entries(), "run python -m sidelight.cli.listing"
    code = (
        "import sys; from sidelight.cli.app import app; app(['list'], standalone_mode=False); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'pandas', 'matplotlib')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rollout" in done.stdout


def test_kind_speed_takes_a_run_as_its_argument() -> None:
    assert chosen("run", None) == chosen(None, "run") == chosen("run", "run") == "run"
    assert chosen(None, None) == DEFAULT
    with pytest.raises(ConfigError, match="either 'a' or --model 'b'"):
        chosen("a", "b")
    (argument,) = [p for p in _command("speed").params if p.param_type_name == "argument"]
    assert not argument.required


def _command(name: str) -> Any:
    return typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]


@functools.cache
def messages() -> list[tuple[Path, str]]:
    """Every string in the sources."""
    found = []
    for path in (ROOT / "src" / "sidelight").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            (path, node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return found


#: options of other programs
OTHERS = {"--no-deps", "--nproc-per-node", "--extra"}


def test_kind_messages_name_options_that_there_are() -> None:
    group: Any = typer.main.get_command(app)
    options = {o for c in group.commands.values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    for path, text in messages():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text):
            css = "var(" in text or "{" in text
            assert css or option in options | OTHERS | {"--help", "--version"}, (path.name, option)


def test_kind_advice_about_fills_is_right_in_python_and_in_a_config() -> None:
    named = [text for path, text in messages() if path.parent.name == "training" and "objective." in text]
    advice = [t for t in named if "Consider" in t or "Keep this fill" in t or "Try, in this order" in t]
    assert len(advice) >= 3
    for text in advice:
        assert "config" in text or "(objective." in text, text


def test_kind_anchors_that_repeat_anchors_are_refused(tmp_path: Path) -> None:
    lines = ["name: x", "data: {name: digits}", "l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 7)]
    path = tmp_path / "c.yaml"
    for text in ("\n".join(lines), "name: &a [*a]", "name: " + "[" * 1000 + "]" * 1000):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"values|nested"):
            load_config(path)


def test_kind_answers_name_the_classifiers_folder_and_not_where_it_lies(
    texts: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages, pictures and JSON for others showed the whole path of the classifier, with the name of the user."""
    folder = tmp_path / "somebody" / "my-bert"
    folder.mkdir(parents=True)
    monkeypatch.setattr(texts.target.model.config, "_name_or_path", str(folder))
    explanation = texts.explain(T[0])
    assert explanation.target == "my-bert"
    explanation.save(tmp_path / "why")
    (tmp_path / "why.html").write_text(explanation._repr_html_(), encoding="utf-8")
    texts.explain_dataset(T[:3], tmp_path / "rows")
    assert read_explanations(tmp_path / "rows")[0].target == "my-bert"
    written = [tmp_path / "why.json", tmp_path / "why.html", *(tmp_path / "rows").rglob("*")]
    assert not [path for path in written if path.is_file() and b"somebody" in path.read_bytes()]
    monkeypatch.setattr(texts.target.model.config, "_name_or_path", "somebody/my-bert")
    assert texts.explain(T[0]).target == "somebody/my-bert"
