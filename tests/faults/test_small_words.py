"""Small things that were silent or told in others' words: closed folders, bars, fills, figures, tables, evidence."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fault_models import SQUARE, P, eye, untrained
from rich.table import Table

import sidelight
from cli_tools import sidelight as command
from sidelight.core.registry import Registry
from sidelight.core.terminal import SafeConsole, counting_bar, fitting, print_table, track
from sidelight.errors import CheckpointError, ConfigError, InputError
from sidelight.fills import FILLS
from sidelight.inputs.row_parts import evidence_of
from sidelight.lab.metrics.granularity import GRANULARITIES
from sidelight.rows.sources import open_data
from sidelight.rows.table_blocks import csv_rows

# -- closed folders -----------------------------------------------------------------


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder into which nobody may look, whoever runs the tests: root may look everywhere."""
    folder, stat, lstat, listing = tmp_path / "closed", os.stat, os.lstat, os.listdir
    folder.mkdir()

    def refusing(look: Any) -> Any:
        def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(path, (str, os.PathLike)) and folder in Path(path).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return look(path, *args, **kwargs)

        return refuse

    for name, look in (("stat", stat), ("lstat", lstat)):
        monkeypatch.setattr(os, name, refusing(look))
    monkeypatch.setattr(os, "listdir", listing)
    return folder


def test_kind_a_folder_that_is_closed_to_us_is_refused_with_advice(closed: Path) -> None:
    explainer = untrained(eye(), SQUARE, P[0])
    calls = [
        lambda: sidelight.read_explanations(closed),
        lambda: sidelight.Explainer.from_pretrained(closed, eye()),
        lambda: sidelight.Explainer.fit(eye(), P, processor=SQUARE, output_dir=closed / "run"),
        lambda: explainer.save_pretrained(closed / "scorer"),
        lambda: explainer.explain_dataset(P[:2], closed / "out"),
    ]
    for number, call in enumerate(calls):
        with pytest.raises(CheckpointError, match=r"Permission denied\. Change its permissions") as told:
            call()
        assert "fault of sidelight" not in str(told.value), number


def test_kind_the_command_says_what_to_do_about_a_closed_folder(closed: Path) -> None:
    said = command("export-maps", closed, "--out", "m.npz").err.replace("\n", " ")
    assert "Permission denied" in said
    assert "Change its permissions" in said


# -- bars ----------------------------------------------------------------------------


def test_kind_bars_are_drawn_on_the_error_stream(capsys: pytest.CaptureFixture[str]) -> None:
    list(track([1, 2], "explaining"))
    with counting_bar() as bar:
        bar.add_task("scorer", total=1, completed=1)
        print("the answer")
    out, err = capsys.readouterr()
    assert out == "the answer\n"
    assert "explaining" in err
    assert "scorer" in err


# -- fills ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["varied", "none"])
def test_kind_a_name_with_a_meaning_of_its_own_is_no_fill(name: str) -> None:
    for modality in ("image", "text"):
        with pytest.raises(ConfigError, match=f"cannot be called '{name}', which stands for"):
            FILLS[modality].add(name, lambda x, context: x * 0)
    if name == "none":
        with pytest.raises(ConfigError, match="cannot be called 'none'"):
            GRANULARITIES.add(name, next(iter(GRANULARITIES.items()))[1])


@pytest.mark.parametrize(
    ("registry", "name", "words"),
    [
        (FILLS["image"], "grey+noise", "one for each modality"),
        (FILLS["text"], "+", "one for each modality"),
        (GRANULARITIES, "cell+word", "one for each modality"),
        (GRANULARITIES, "patch4", "squares of that many pixels"),
    ],
)
def test_kind_a_name_that_is_read_as_something_else_is_refused_where_it_is_registered(
    registry: Registry[Any], name: str, words: str
) -> None:
    before = list(registry)
    with pytest.raises(
        ConfigError, match=rf"cannot be called '{re.escape(name)}', which stands for .*{words}"
    ):
        registry.add(name, lambda *given: given)
    assert list(registry) == before


@pytest.fixture
def broken_fill() -> Iterator[str]:
    FILLS["image"].add("broken", lambda x, context: x * 0 / 0)
    yield "broken"
    del FILLS["image"]._entries["broken"]


def test_kind_a_fill_that_gives_nan_is_named(broken_fill: str, tmp_path: Path) -> None:
    explainer = untrained(eye(), SQUARE, P[0])
    settings = {"epochs": 1, "fills": ["zero", broken_fill], "label": "prediction"}
    with pytest.raises(InputError, match=r"fill 'broken' gives NaN or infinity.*Mend the fill"):
        sidelight.Explainer.fit(
            explainer.target.model, P[:8], processor=SQUARE, output_dir=tmp_path / "run", **settings
        )


# -- figures and tables ----------------------------------------------------------------


def test_kind_what_a_figure_would_ignore_is_refused() -> None:
    found = untrained(eye(), SQUARE, P[0]).explain(P[0])
    with pytest.raises(InputError, match="Give ax too"):
        found.plot(style="heat")
    figure, ax = plt.subplots()
    with pytest.raises(InputError, match="two places"):
        found.plot(ax, figure=figure)
    plt.close("all")


def test_kind_a_table_with_a_wide_first_column_is_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = ["long-" * 30 + end for end in ("one", "two")]
    table = Table("method", "metric", "mean", "n")
    for name in names:
        table.add_row(name, "insertion", "0.123", "100")
    print_table(table)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 60
    assert "…" not in text
    first = "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│"))
    assert all(name in first for name in names)
    assert len(fitting(table, SafeConsole(width=60))) == 1


# -- rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["sep=;", "sep=,", "SEP=|", '"sep=;"', "\ufeffsep=;"])
def test_kind_excels_line_about_the_separator_is_no_header(tmp_path: Path, first: str) -> None:
    sign = first.strip('"')[-1]
    lines = [first, f"text{sign}label", f"a film{sign}1", f"a plot{sign}0"]
    path = tmp_path / "rows.csv"
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8", newline="")
    wanted = [{"text": "a film", "label": "1"}, {"text": "a plot", "label": "0"}]
    assert [dict(row) for row in csv_rows(path)] == wanted
    assert [dict(row) for row in open_data(str(path), "train")] == wanted
    path.write_text("\n".join([*lines, f"a{sign}1{sign}too many"]), encoding="utf-8")
    rows = csv_rows(path)
    assert [dict(rows[number]) for number in (0, 1)] == wanted
    with pytest.raises(InputError, match="row 2 of the table has 3 cells"):
        rows[2]


def test_kind_evidence_of_a_part_that_only_some_pairs_bring_is_told_and_never_dropped() -> None:
    mask = np.ones((4, 4), bool)
    whole, half = {"image": mask, "text": [(0, 1)]}, {"image": mask}
    for rows in ([whole, half], [half, whole], [whole, {"image": mask, "text": None}]):
        with pytest.raises(InputError, match=r"row . has no evidence of its text, and others have"):
            evidence_of([{"evidence": entry} for entry in rows], ["image", "text"])
    for rows in ([half, half], [whole, {**half, "text": []}]):
        assert evidence_of([{"evidence": entry} for entry in rows], ["image", "text"]) == rows
