"""Tables in a paper's layout: blocks, marks, spreads and escaping, in Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sidelight.errors import InputError
from sidelight.lab.report.figures import radar_of, tradeoff_of
from sidelight.lab.tables.comparison import build_comparisons, csv_text, slug
from sidelight.lab.tables.latex import latex_document, latex_escape, latex_figures, latex_table
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.summary import cell_of
from sidelight.viz import to_pdf

EVIL = r"a_b & 50% of $x {y} #1 ^~\ <i>| [z] * é×Ω日"


def row(method, metric, mean, reduction="none", fill="zero", granularity="pixel", **extra):
    return {
        "dataset": "digits",
        "modality": "image",
        "method": method,
        "reduction": reduction,
        "fill": fill,
        "granularity": granularity,
        "metric": metric,
        "mean": mean,
        "sd": 0.1,
        "ci95": [mean - 0.02, mean + 0.01],
        "n": 50,
        **extra,
    }


def by_hand():
    return [
        row("sidelight", "average_drop", 0.20, seeds=3, seed_sd=0.012),
        row("rise", "average_drop", 0.10),
        row("integrated_gradients", "average_drop", 0.40, "abs"),
        row("integrated_gradients", "average_drop", 0.30, "positive", n=20),
        row("constant", "average_drop", 0.0),
        row("sidelight", "sparsity", 12.0, fill="none", seeds=3, seed_sd=0.5),
        row("rise", "sparsity", 3.0, fill="none"),
        row("sidelight", "average_drop", 0.20, dataset="scenes", granularity="patch4"),
        row("rise", "average_drop", -0.5, dataset="scenes", granularity="patch4"),
        row("sidelight", "average_drop", 0.1, dataset="scenes", granularity="patch16"),
    ]


def two_data_sets():
    """``patch4`` of one and ``patch16`` of the other."""
    rows = [{**r, "granularity": "patch4"} for r in by_hand() if r["dataset"] == "digits"]
    return [*rows, *({**r, "dataset": "scenes", "granularity": "patch16"} for r in rows)]


def lines_of(text: str) -> dict[str, str]:
    return {ln.split("|")[1].strip(): ln for ln in text.splitlines() if ln.startswith("|")}


def test_lines_are_rivals_then_ours_then_trivial_maps() -> None:
    comparisons, tables = build_comparisons(by_hand())
    assert len(tables) == 3
    first = comparisons[0]
    assert first.title == "digits: image, zero fill, by pixel"
    assert [c.name for c in first.columns] == ["average_drop", "sparsity"]
    found = list(lines_of(markdown(first.table)))
    assert found[2:] == [
        "RISE",
        "Integrated Gradients",
        "**sidelight**",
        "*sd between 3 seeds*",
        "*trivial maps*",
        "Constant",
    ]


def test_markdown_marks_spread_seeds_and_n() -> None:
    lines = lines_of(markdown(build_comparisons(by_hand())[0][0].table))
    assert "| **0.100** ± 0.100 |" in lines["RISE"]
    assert "| <u>0.200</u> ± 0.100 |" in lines["**sidelight**"]
    assert "| 0.300 ± 0.100 + |" in lines["Integrated Gradients"]
    assert "0.000 ± 0.100 †" in lines["Constant"]
    assert lines["*sd between 3 seeds*"].split("|")[2:4] == [" *0.012* ", " *0.500* "]
    assert lines["Integrated Gradients"].endswith("| 20 |")
    assert lines["RISE"].endswith("| 50 |")
    assert len({line.count("|") for line in lines.values()}) == 1


def test_data_sets_are_blocks_and_patches_are_of_one_kind() -> None:
    (only,), _ = build_comparisons(two_data_sets())
    assert only.title == "digits, scenes: image, zero fill, by patch"
    assert only.name == "image-patch-zero"
    text = markdown(only.table)
    assert "| **digits**, by patch4 |" in text
    assert "| **scenes**, by patch16 |" in text
    assert text.count("| RISE |") == 2


def test_two_granularities_of_one_kind_stay_apart_in_one_data_set() -> None:
    scenes = [r for r in by_hand() if r["dataset"] == "scenes"]
    (only,), tables = build_comparisons(scenes)
    assert [(t.setting.dataset, t.setting.granularity) for t in only.tables] == [
        ("scenes", "patch4"),
        ("scenes", "patch16"),
    ]
    assert len(tables) == 2


def test_modality_groups_have_tables_of_their_own() -> None:
    rows = [
        {**r, "modality": modality, "granularity": grain}
        for modality, grain in (("image+text", "patch4+token"), ("image", "patch4"), ("text", "token"))
        for r in by_hand()[:3]
    ]
    comparisons, _ = build_comparisons(rows)
    assert [(c.modality, c.grain, c.name) for c in comparisons] == [
        ("image+text", "patch+token", "image-text-patch-token-zero"),
        ("image", "patch", "image-patch-zero"),
        ("text", "token", "text-token-zero"),
    ]


def test_csv_has_every_number() -> None:
    found = list(csv.DictReader(io.StringIO(csv_text(build_comparisons(by_hand())[0]))))
    line = next(r for r in found if r["method"] == "integrated_gradients")
    assert float(line["average_drop.mean"]) == 0.30
    assert (float(line["average_drop.lo"]), float(line["average_drop.hi"])) == pytest.approx((0.28, 0.31))
    assert (line["average_drop.n"], line["average_drop.reduction"]) == ("20", "positive")
    assert (line["average_drop.place"], line["sparsity.mean"]) == ("3", "")
    ours = next(r for r in found if r["method"] == "sidelight")
    assert (ours["seeds"], float(ours["average_drop.seed_sd"])) == ("3", 0.012)
    assert [r["granularity"] for r in found if r["dataset"] == "scenes"] == ["patch4", "patch4", "patch16"]


def test_metrics_are_columns_in_the_order_asked_for() -> None:
    (first, *_), _ = build_comparisons(by_hand(), ["sparsity", "average_drop", "srg"])
    assert [c.name for c in first.columns] == ["sparsity", "average_drop"]
    assert build_comparisons(by_hand(), ["srg"]) == ([], [])
    with pytest.raises(InputError, match="lacks mean"):
        build_comparisons([{"method": "a", "metric": "srg"}])


# -- LaTeX ---------------------------------------------------------------------------------


def test_latex_rows_have_as_many_cells_as_columns() -> None:
    for comparison in (*build_comparisons(by_hand())[0], *build_comparisons(two_data_sets())[0]):
        text = latex_table(comparison.table, comparison.name)
        width = len(comparison.columns) + 2
        assert rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}" in text
        body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
        for line in body.splitlines():
            if line.endswith(r"\\") and "multicolumn" not in line:
                assert len(re.findall(r"(?<!\\)&", line)) == width - 1, line
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_marks() -> None:
    text = latex_table(build_comparisons(by_hand())[0][0].table, "all")
    assert r"RISE & \textbf{0.100} $\pm$ 0.100 &" in text
    assert r"\textbf{sidelight} & \underline{0.200} $\pm$ 0.100 & \textbf{12.0} $\pm$ 0.1 & 50 \\" in text
    assert r"0.300 $\pm$ 0.100$^{+}$ & -- & 20 \\" in text
    assert r"Average drop $\downarrow$ & Sparsity $\uparrow$" in text
    negative = latex_table(build_comparisons(by_hand()[7:])[0][0].table, "all")
    assert r"\textbf{$-$0.500}" in negative


def test_latex_escape() -> None:
    assert latex_escape("a_b & 50%") == r"a\_b \& 50\%"
    assert latex_escape("\\") == r"\textbackslash{}"
    assert latex_escape("é ×") == r"é $\times$"
    assert latex_escape("ﬁ 日\n x") == "fi ? x"


def test_slug() -> None:
    assert slug("Tweet Sentiment", "image+text", "", "zero") == "Tweet-Sentiment-image-text-zero"
    assert slug("") == "all"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles(tmp_path: Path) -> None:
    """Whatever the names, and with the figures."""
    rows = [{**r, "dataset": EVIL if r["dataset"] == "digits" else "*[b]"} for r in two_data_sets()]
    rows.append(row(EVIL, "average_drop", -0.7, dataset=EVIL, granularity="patch4"))
    (comparison, *_), _ = build_comparisons(rows)
    (tmp_path / "tables.tex").write_text(latex_table(comparison.table, comparison.name))
    picture = tradeoff_of(build_comparisons(sides())[1][0])
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a-b.pdf").write_bytes(to_pdf(picture.figure))
    (tmp_path / "figures.tex").write_text(latex_figures({"a-b": EVIL + picture.caption}, "figures"))
    (tmp_path / "document.tex").write_text(latex_document(["tables", "figures"]))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    log = (tmp_path / "document.log").read_text(errors="replace")
    assert "Overfull" not in log
    assert "Missing character" not in log


def test_latex_figures_name_the_files() -> None:
    text = latex_figures({"radar-a": "50% of a_b"}, "figures")
    assert "{figures/radar-a.pdf}" in text
    assert r"\caption{50\% of a\_b}" in text
    assert r"\label{fig:radar-a}" in text


# -- figures of a table ----------------------------------------------------------------------


def sides():
    values = {
        "sidelight": (0.1, 0.5, 4.0, 0.2),
        "rise": (0.2, 0.6, 3.0, 0.5),
        "saliency": (0.9, 0.4, 20.0, 0.05),
        "constant": (0.0, 0.5, 1.0, 1.0),
    }
    metrics = ("average_drop", "insertion_auc", "sparsity", "mean_score")
    return [row(m, k, v) for m, group in values.items() for k, v in zip(metrics, group, strict=True)]


def test_radar_leaves_trivial_maps_out_and_says_how_it_is_scaled() -> None:
    (table,) = build_comparisons(sides())[1]
    picture = radar_of(table)
    rings = {line.get_label(): line.get_ydata() for line in picture.figure.axes[0].get_lines()}
    assert set(rings) == {"sidelight", "RISE", "Saliency"}
    # drop is best at the rim for ours though the constant map has a better one; axes as in RADAR
    assert rings["sidelight"][:3] == pytest.approx([1.0, 0.5, 1 / 17])
    assert rings["Saliency"][:3] == pytest.approx([0.0, 0.0, 1.0])
    assert "Outward is better" in picture.caption
    assert "3 methods" in picture.caption


def test_radar_draws_ours_and_the_strongest() -> None:
    rows = sides()
    for i in range(6):
        rows += [row(f"rival_{i}", m, v) for m, v in (("average_drop", 0.5 - i / 20), ("sparsity", 5.0 + i))]
        rows.append(row(f"rival_{i}", "insertion_auc", 0.5 + i / 20))
    (table,) = build_comparisons(rows)[1]
    picture = radar_of(table)
    drawn = [line.get_label() for line in picture.figure.axes[0].get_lines()]
    assert len(drawn) == 6
    assert "sidelight" in drawn
    assert "Rival 5" in drawn
    assert "Rival 0" not in drawn
    assert "Drawn are 6" in picture.caption


def test_tradeoff_prefers_the_mean_score_and_keeps_the_front_to_methods() -> None:
    picture = tradeoff_of(build_comparisons(sides())[1][0])
    ax = picture.figure.axes[0]
    assert "mean score" in ax.get_xlabel()
    assert ax.xaxis_inverted()
    assert ax.yaxis_inverted()
    front = ax.get_lines()[0]
    assert front.get_xdata().tolist() == [0.05, 0.2]  # RISE is beaten by ours, constant is no method
    assert "Pareto" in picture.caption


def test_no_picture_without_what_it_shows() -> None:
    few = build_comparisons([row("sidelight", "average_drop", 0.1)])[1][0]
    assert radar_of(few) is None
    assert tradeoff_of(few) is None


@pytest.mark.parametrize(
    ("mean", "text"), [(-0.0003, "0.000"), (-0.0, "0.000"), (-0.0006, "-0.001"), (0.1236, "0.124")]
)
def test_a_value_that_is_rounded_to_nothing_has_no_sign(mean: float, text: str) -> None:
    assert cell_of(row("a", "srg", mean), 3).text == text
