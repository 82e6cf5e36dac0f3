"""Ours beside published numbers: cells that both have, in our names; what protocol each is of."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sidelight.core.files import read_json, write_json
from sidelight.core.names import OURS
from sidelight.errors import InputError
from sidelight.lab.baselines import RIVALS
from sidelight.lab.data.sets import DATASETS
from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.report.paper import DATA, LAYOUTS, METHODS, read_published
from sidelight.lab.report.publication import write_publication
from sidelight.lab.report.stored import read_run
from stored_runs import stored_run

TABLES = """table,dataset,kind,method,metric,mean,std
5.4,MNIST,comparison,Int. Gradients,average_drop,0.25,0.5
5.4,MNIST,ablation,Ours,average_drop,0.75,0.1
5.4,MNIST,comparison,Ours,deletion_auc,0.5,0.25
"""
LATER = """dataset,variant,method,metric,mean,std
mnist,base9,ours,avg-drop,0.0625,0.125
mnist,base9,ours,insert-auc,0.875,0.25
luma,base,ours,insert-auc,0.5,0.25
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "tables.csv", tmp_path / "later.csv"
    for path, text in zip(paths, (TABLES, LATER), strict=True):
        path.write_text(text)
    return paths


def found(run: Path, out: Path, *files: Path) -> pd.DataFrame:
    write_publication([run], out, figures=False, published=files)
    return pd.read_csv(out / "published.csv", keep_default_na=False)


def test_every_name_is_one_of_ours() -> None:
    assert {name for names in DATA.values() for name in names} <= set(DATASETS)
    assert set(METHODS.values()) <= {*RIVALS, OURS}
    for layout in LAYOUTS:
        own = PROTOCOLS[layout.protocol].metrics
        assert set(layout.metrics.values()) == set(own) <= set(METRICS)


def test_a_line_for_every_cell_that_both_have(files, tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "mnist", fills=("zero", "blur"))
    lines = found(run, tmp_path / "out", *files)
    key = ["method", "metric", "published", "published_sd", "variant", "published_protocol"]
    assert set(map(tuple, lines[key].to_numpy().tolist())) == {
        ("integrated_gradients", "average_drop", 0.25, 0.5, "comparison", "thesis"),
        ("sidelight", "deletion_auc", 0.5, 0.25, "comparison", "thesis"),
        ("sidelight", "insertion_auc", 0.875, 0.25, "base9", "thesis-later"),
    }  # the ablation, the metric and the data set that are not ours are left out
    assert set(lines["same_protocol"]) == {"no"}
    assert set(lines["data"]) == {"mnist"}
    rows = read_run(run).rows
    rows = rows[(rows["fill"] == "zero") & (rows["method"] == "integrated_gradients")]
    rows = rows[(rows["metric"] == "average_drop") & (rows["reduction"] == "positive")]  # the better reading
    line = lines[lines["method"] == "integrated_gradients"].iloc[0]
    assert (line["reduction"], line["n"]) == ("positive", len(rows))
    assert line["ours"] == pytest.approx(rows["value"].mean())
    assert line["ours_sd"] == pytest.approx(rows["value"].std())
    ours = read_run(run).rows.query("fill == 'zero' and method == 'sidelight' and metric == 'insertion_auc'")
    line = lines[lines["metric"] == "insertion_auc"].iloc[0]
    assert line["ours"] == pytest.approx(ours.groupby("sample")["value"].mean().mean())
    text = (tmp_path / "out" / "published.md").read_text()
    assert "| run | sidelight |" not in text  # runs go by their data's name
    assert "| mnist | sidelight | pixel | insertion auc |" in text
    assert "| no (sidelight / thesis-later) |" in text
    assert "Published maps of texts count padding" in text


def test_the_same_protocol_says_so_and_texts_do_not_compare(files, tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "tweets", (("text", "token"),))
    facts = read_json(run / "results.json")
    write_json(run / "results.json", {**facts, "protocol": "thesis"})
    files[0].write_text(TABLES.replace("MNIST", "Tweet Sentiment Extraction"))
    lines = found(run, tmp_path / "out", files[0])
    assert set(lines["same_protocol"]) == {"yes"}
    assert set(lines["our_protocol"]) == {"thesis"}
    assert set(lines["remark"]) == {"not comparable across methods"}
    assert "| yes | not comparable across methods |" in (tmp_path / "out" / "published.md").read_text()


def test_patches_and_other_fills_are_not_what_was_published(files, tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "mnist", (("image", "patch4"),))
    wrote = write_publication([run], tmp_path / "out", figures=False, published=files)
    assert not (tmp_path / "out" / "published.csv").exists()
    assert "no cell in common" in wrote.notes[-1]
    assert any("Not known here, of later.csv: luma." in note for note in wrote.notes)


def test_the_command_takes_the_files(files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sidelight.cli.tables import run as command

    command([stored_run(tmp_path / "run", "mnist")], out=tmp_path / "out", figures=False, thesis=list(files))
    assert "beside published numbers" in capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out" / "published.csv")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b; expected table, dataset, kind"),
        ("", r"has the columns \(none\)"),
        (TABLES.replace("0.25,0.5", "a lot,0.5"), "line 2: mean must be a number; got 'a lot'"),
        (TABLES.replace("0.25,0.5", "0.25"), "line 2: std must be a number; got None"),
        (TABLES + "5.4,MNIST\n", "line 5: no method; the line ends before that column"),
        (LATER + "mnist\n", "line 5: no method"),
        (TABLES + '"' + "x" * 200_000, "field larger than field limit"),
        (LATER.replace("0.0625", "nan"), "line 2: mean must be a number; got 'nan'"),
    ],
)
def test_files_that_cannot_be_used_say_why(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_published(path)


def test_a_missing_file_writes_nothing(tmp_path: Path) -> None:
    run = stored_run(tmp_path / "run", "mnist")
    with pytest.raises(InputError, match="cannot read published numbers"):
        write_publication([run], tmp_path / "out", figures=False, published=[tmp_path / "none.csv"])
    assert not (tmp_path / "out").exists()
