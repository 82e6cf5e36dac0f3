"""Tables, tests and figures of stored runs: numbers against the rows, refusals, nothing half-written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, wilcoxon

from sidelight.errors import CheckpointError, InputError, UnknownNameError
from sidelight.lab.report.publication import write_publication
from sidelight.lab.report.stored import read_run, read_runs
from stored_runs import PAIRS, stored_run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("stored")
    return (
        stored_run(base / "first", "digits", fills=("zero", "blur")),
        stored_run(base / "pairs", "scenes", PAIRS, samples=9, seed=1),
    )


@pytest.fixture(scope="module")
def out(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out")
    write_publication(folders, path, figures=False)
    return path


def of(rows: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    return rows[np.logical_and.reduce([rows[k] == v for k, v in wanted.items()])]


def test_categories_become_text_and_values_double(folders) -> None:
    run = read_run(folders[0])
    assert (run.name, run.dataset, run.notes) == ("first", "digits", ("A is B on this target.",))
    assert run.rows["value"].dtype == np.float64
    assert not any(isinstance(t, pd.CategoricalDtype) for t in run.rows.dtypes)


def test_tables_hold_the_means_of_the_rows(folders, out: Path) -> None:
    table = pd.read_csv(out / "tables.csv")
    rows = of(read_run(folders[0]).rows, fill="zero", metric="average_drop")
    line = of(table, dataset="digits", fill="zero", method="sidelight").iloc[0]
    values = of(rows, method="sidelight").groupby("sample")["value"].mean()
    assert line["average_drop.mean"] == pytest.approx(values.mean())
    assert line["average_drop.sd"] == pytest.approx(values.std())
    assert line["average_drop.lo"] < line["average_drop.mean"] < line["average_drop.hi"]
    assert (line["average_drop.n"], line["deletion_auc.n"], line["seeds"]) == (12, 8, 2)
    per_seed = of(rows, method="sidelight").groupby("seed")["value"].mean()
    assert line["average_drop.seed_sd"] == pytest.approx(per_seed.std())
    rival = of(table, dataset="digits", fill="zero", method="integrated_gradients").iloc[0]
    assert rival["average_drop.reduction"] == "positive"
    assert rival["average_drop.place"] == 3


def test_modality_groups_are_split(out: Path) -> None:
    text = (out / "tables.md").read_text()
    for title in (
        "### digits: image, zero fill, by pixel",
        "### scenes: image+text, zero fill, by patch4+token",
        "### scenes: image, zero fill, by patch4",
        "### scenes: text, zero fill, by token",
    ):
        assert title in text
    assert text.count("A is B on this target.") == 2
    assert (out / "tables.tex").read_text().count(r"\begin{table}") == 5
    assert len(set(re.findall(r"\\label{(.*?)}", (out / "tables.tex").read_text()))) == 5


def test_statistics_agree_with_scipy(folders, out: Path) -> None:
    tests = pd.read_csv(out / "statistics.csv", keep_default_na=False)
    line = of(tests, dataset="digits", fill="zero", metric="deletion_auc", method="rise").iloc[0]
    rows = of(read_run(folders[0]).rows, fill="zero", metric="deletion_auc")
    ours = of(rows, method="sidelight").groupby("sample")["value"].mean()
    rival = of(rows, method="rise").set_index("sample")["value"]
    assert float(line["p"]) == pytest.approx(wilcoxon(ours, rival).pvalue)
    difference = (ours - rival).to_numpy()
    ranks = rankdata(np.abs(difference))
    # lower is better, so what counts for ours are the negative differences
    effect = (ranks[difference < 0].sum() - ranks[difference > 0].sum()) / ranks.sum()
    assert float(line["effect"]) == pytest.approx(effect)
    assert (int(line["n"]), int(line["seeds"]), int(line["seeds_better"])) == (8, 2, 2)
    case = of(tests, dataset="digits", fill="zero", metric="deletion_auc")
    assert len(case) == 4
    assert "positive" in set(case["reduction"])
    assert (case["p_holm"].astype(float) >= case["p"].astype(float)).all()


def test_ranks_are_those_of_the_case_means(out: Path) -> None:
    cases, ranks = pd.read_csv(out / "cases.csv"), pd.read_csv(out / "ranks.csv")
    assert set(cases["method"]) == {
        "sidelight",
        "rise",
        "integrated_gradients",
        "saliency",
    }  # no trivial maps
    every = of(ranks, scope="all cases").set_index("method")
    # two fills of three metrics, and three groups of modalities with three metrics each
    assert every["cases"].unique().tolist() == [15]
    assert (every["n_min"].iloc[0], every["n_max"].iloc[0]) == (6, 12)
    for method, part in cases.groupby("method"):
        assert every.loc[method, "average_rank"] == pytest.approx(part["rank"].mean())
    drop = of(cases, dataset="digits", fill="zero", metric="average_drop").set_index("method")
    assert drop["rank"].to_dict() == {"sidelight": 1, "rise": 2, "integrated_gradients": 3, "saliency": 4}
    assert list(dict.fromkeys(ranks["scope"])) == [
        "all cases",
        *("digits", "scenes"),
        *("image", "image+text", "text"),
        *("by pixel", "by patch4+token", "by patch4", "by token"),
    ]


def test_figures_and_what_their_captions_say(tmp_path: Path) -> None:
    folder = stored_run(tmp_path / "run")
    found = write_publication([folder], tmp_path / "out")
    drawn = {p.stem for p in (tmp_path / "out" / "figures").iterdir()}
    assert drawn == {
        "radar-digits-image-pixel-zero",
        "tradeoff-digits-image-pixel-zero",
        "curves-digits-image-pixel-zero",
        "ranks-all-cases",
    }
    assert all(p.is_file() for p in found.files)
    markdown, latex = ((tmp_path / "out" / name).read_text() for name in ("tables.md", "figures.tex"))
    for name in drawn:
        assert f"(figures/{name}.png)" in markdown
        assert f"{{figures/{name}.pdf}}" in latex
    for words in ("Pareto", "95 % bootstrap", "not independent", "Outward is better", "n = 8–12", "3 cases"):
        assert words in markdown
    assert r"\input{figures}" in (tmp_path / "out" / "document.tex").read_text()


def test_one_data_set_in_two_runs_goes_by_the_names_of_the_runs(folders, tmp_path: Path) -> None:
    other = stored_run(tmp_path / "other", "digits", samples=6)
    assert [r.dataset for r in read_runs([folders[0], other])] == ["first", "other"]
    with pytest.raises(InputError, match="two runs are named 'first'"):
        read_runs([folders[0], folders[0]])


def test_too_few_methods_for_ranks_are_a_note(tmp_path: Path) -> None:
    folder = stored_run(tmp_path / "run")
    rows = pd.read_parquet(folder / "scores.parquet")
    rows[rows["method"].isin(["sidelight", "rise"])].to_parquet(folder / "scores.parquet")
    found = write_publication([folder], tmp_path / "out", figures=False)
    assert found.rankings == ()
    assert "three methods" in found.notes[0]
    assert pd.read_csv(tmp_path / "out" / "ranks.csv").empty
    ranked = write_publication([folder], tmp_path / "out", ranked=["srg"], figures=False)
    assert "none of the metrics" in ranked.notes[0]


def test_refusals_write_nothing(folders, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no run folder"):
        write_publication([], out)
    with pytest.raises(UnknownNameError, match="average_drop"):
        write_publication(folders, out, metrics=["average_dorp"])
    with pytest.raises(InputError, match="no values of srg"):
        write_publication(folders, out, metrics=["srg"])
    with pytest.raises(InputError, match="between 0 and 1"):
        write_publication(folders, out, alpha=5)
    with pytest.raises(CheckpointError, match="sidelight evaluate"):
        write_publication([tmp_path], out)
    broken = stored_run(tmp_path / "broken")
    (broken / "scores.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CheckpointError, match="cannot be read"):
        write_publication([broken], out)
    pd.DataFrame({"value": [1.0]}).to_parquet(broken / "scores.parquet")
    with pytest.raises(CheckpointError, match="lacks column"):
        write_publication([broken], out)
    assert not out.exists()


def test_a_full_disk_leaves_the_old_tables(folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_publication(folders[:1], tmp_path, figures=False)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "statistics" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_publication(folders, tmp_path, figures=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
