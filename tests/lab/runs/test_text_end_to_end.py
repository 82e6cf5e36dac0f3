"""Text from raw strings to report: the same commands, files and errors as for images."""

from __future__ import annotations

import json
import math
import re
import warnings
from html import unescape
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sidelight import Explainer, Explanation
from sidelight.checks.removal import granted_classes
from sidelight.cli.app import app
from sidelight.errors import CheckpointError, ConfigError, InputError, InputTypeError, SidelightError
from sidelight.inputs.base import Batch
from sidelight.inputs.view import TruncationWarning
from sidelight.lab.config.files import parse_config
from sidelight.lab.data.planted_text import CLASSES
from sidelight.lab.data.sets import DATASETS, load_rows
from sidelight.lab.data.texts import tidy_reviews, tidy_statements, tidy_tweets
from sidelight.lab.evaluation.run import evaluate_run, removal_notes
from sidelight.lab.report.page import report_runs
from sidelight.lab.runs.run import Run, find_pretrained
from sidelight.scorers import ScorerConfig
from sidelight.targets import TextTarget
from sidelight.training.diagnostics import warn_of_removal
from sidelight.training.network import new_scorer
from sidelight.viz.export import to_png
from sidelight.viz.safe_text import visible
from text_models import TEXTS, make_pair

CONFIG = """
name: tiny_text
data: {name: planted_text, train: 96, validation: 16, test: 16}
target:
  tokenizer: planted
  architecture: {model_type: bert, hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2,
                 intermediate_size: 16}
  training: {epochs: 1, batch_size: 32}
scorer: {width: 8, layers: 1, heads: 2}
objective: {label: prediction}
training: {epochs: 1, batch_size: 32, evals_per_epoch: 1, on_collapse: warn}
evaluation:
  {count: 12, curve_count: 6, batch_size: 6, steps: 3,
   rivals: [saliency, deep_lift, grad_cam, attention_rollout, occlusion, random],
   few_samples: [{lime: {n_samples: 8}}, {kernel_shap: {n_samples: 8}}]}
report: {samples: 2, failures: 1, methods: [saliency, grad_cam]}
"""
HARD = [
    "plain words, nothing else",
    "mixed Ελληνικά и кириллица 我喜欢 العربية",
    "מצוין מאוד, הסרט!",
    "a\x00b \x1b[31mred\x07 \u202eevil\u202c soft\u00adhyphen",
    "<script>alert('x')</script> & <b>bold</b>",
    "😀👍🏽 👨‍👩‍👧 #tag https://x.org/a?b=1",
    "  leading and trailing space \n",
]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    model, tokenizer = make_pair("bert")
    target = TextTarget(model, tokenizer)
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, [TEXTS[1]], ScorerConfig(decoder={"text": {"width": 16}})))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = Run.create(tmp_path_factory.mktemp("text") / "run", parse_config(yaml.safe_load(CONFIG)))
    found.fit()
    evaluate_run(found)
    return found


def invoke(*args: Any) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


class TestExplain:
    @pytest.mark.parametrize("text", HARD)
    def test_the_words_join_to_the_text(self, explainer: Explainer, text: str) -> None:
        found = explainer.explain(text)
        assert "".join(found.inputs["text"]) == text
        assert found.map.shape == (len(found.inputs["text"]),)
        assert found.map.min() >= 0
        assert found.map.max() <= 1

    def test_a_word_scores_as_its_best_piece(self, explainer: Explainer) -> None:
        text = "an unforgettable film"
        inputs = explainer.target.reader.read([text]).inputs
        scores = explainer.attribute(inputs)[1]["text"][0]
        (view,) = explainer.target.reader.read([text]).texts.views
        found = explainer.explain(text)
        assert found.inputs["text"] == ["an ", "unforgettable ", "film"]
        for value, word in zip(found.map, view.words, strict=True):
            assert value == pytest.approx(max(scores[t].item() for t in word.tokens), abs=1e-6)

    @pytest.mark.parametrize(
        "several",
        [
            list(TEXTS),
            [{"text": t, "label": 0} for t in TEXTS],
            [{"sentence": t} for t in TEXTS],
            pd.Series(TEXTS, index=[5, 6, 7]),
            np.array(TEXTS),
            datasets.Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2]}),
            datasets.Dataset.from_dict({"text": TEXTS})["text"],
        ],
        ids=["list", "rows", "other column", "series", "array", "dataset", "column"],
    )
    def test_several(self, explainer: Explainer, several: Any) -> None:
        found = explainer.explain(several, batch_size=2)
        assert ["".join(e.inputs["text"]) for e in found] == TEXTS
        alone = [explainer.explain(t) for t in TEXTS]
        for e, a in zip(found, alone, strict=True):
            assert np.allclose(e.map, a.map, atol=1e-5)

    def test_pairs(self, explainer: Explainer) -> None:
        one = explainer.explain(("the film", "was great"))
        assert isinstance(one, Explanation)
        assert one.inputs["text"] == ["the ", "film\n", "was ", "great"]
        rows = [{"premise": "the film", "hypothesis": "was great"}]
        assert explainer.explain(rows)[0].inputs == one.inputs
        assert explainer.explain([("the film", "was great")] * 2)[1].inputs == one.inputs

    def test_named_columns(self) -> None:
        model, tokenizer = make_pair("bert")
        target = TextTarget(model, tokenizer, columns=["body"])
        found = Explainer(target, new_scorer(target, [{"body": "a b"}], ScorerConfig()))
        assert found.explain({"body": "the film", "text": "not this"}).inputs["text"] == ["the ", "film"]
        with pytest.raises(InputError, match="body"):
            found.explain({"text": "the film"})

    def test_tensors_are_spelled(self, explainer: Explainer) -> None:
        inputs = explainer.target.reader.read(["the film", "a truly awful movie"]).inputs
        found = explainer.explain(inputs, batch_size=1)
        assert "".join(found[0].inputs["text"]).strip() == "the film"

    def test_truncation_is_said(self, explainer: Explainer) -> None:
        with pytest.warns(TruncationWarning):
            found = explainer.explain(["the film " * 40, "short"])
        assert found[0].meta["truncated"] is True
        assert "truncated" not in found[1].meta
        assert found[0].inputs["text"][-1] == " […]"
        assert "not read whole" in found[0].to_html()

    def test_markup_and_control_characters_are_shown_not_run(self, explainer: Explainer) -> None:
        html = explainer.explain(HARD[4]).to_html()
        assert "<script>" not in html
        assert "&lt;" in html
        html = explainer.explain(HARD[3]).to_html()
        assert not set("\x00\x1b\x07\u202e") & set(html)

    @pytest.mark.parametrize("text", HARD)
    def test_every_text_can_be_drawn_and_shown(self, explainer: Explainer, text: str, tmp_path: Path) -> None:
        found = explainer.explain(text)
        assert to_png(found.plot()).startswith(b"\x89PNG")
        page = found.save_html(tmp_path / "why.html").read_text(encoding="utf-8")
        assert visible(text) in unescape(re.sub(r"<[^>]+>", "", page))
        assert 'dir="auto"' in page  # the browser finds out which way a text runs
        assert Explanation.from_dict(json.loads(json.dumps(found.to_dict()))).inputs == found.inputs

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(min_size=1, max_size=30).filter(lambda t: any(c.isalnum() for c in t)))
    def test_the_words_of_any_string_join_to_it(self, explainer: Explainer, text: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error", TruncationWarning)
            found = explainer.explain(text)
        assert "".join(found.inputs["text"]) == text
        assert np.isfinite(found.map).all()

    def test_saved_and_read_back(self, explainer: Explainer, tmp_path: Path) -> None:
        found = explainer.explain(HARD[1])
        picture, data = found.save(tmp_path / "why")
        assert picture.stat().st_size > 1000
        again = Explanation.load(data)
        assert again.inputs == found.inputs
        assert np.allclose(again.map, found.map, atol=1e-6)
        page = found.save_html(tmp_path / "why.html").read_text(encoding="utf-8")
        assert page.startswith("<!doctype html>")
        assert "charset" in page


class TestBadInput:
    @pytest.mark.parametrize(
        ("bad", "error", "message"),
        [
            ("", InputError, "is empty"),
            (" \n\t", InputError, "only white space"),
            (["fine", ""], InputError, "sample 1 is empty"),
            (None, InputTypeError, "None"),
            (["fine", "fine", None], InputTypeError, "sample 2 is not text: None"),
            (3.5, InputTypeError, "float"),
            (b"bytes", InputTypeError, "bytes"),
            ([], InputError, "empty"),
            ([("a", "b", "c")], InputError, "3 texts"),
            ([{"body": "a"}], InputError, "text column"),
        ],
    )
    def test_clear_errors(
        self, explainer: Explainer, bad: Any, error: type[SidelightError], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            explainer.explain(bad, batch_size=2)

    def test_none_in_a_column(self, explainer: Explainer) -> None:
        column = datasets.Dataset.from_dict({"text": ["a", "b", None]})["text"]
        with pytest.raises(InputTypeError, match="sample 2"):
            explainer.explain(column, batch_size=2)

    def test_only_special_tokens(self, explainer: Explainer) -> None:
        tokenizer = explainer.target.reader.tokenizer
        ids = torch.tensor([[tokenizer.cls_token_id, tokenizer.sep_token_id]])
        with pytest.raises(InputError, match="only special tokens"):
            explainer.explain({"input_ids": ids, "special_tokens_mask": torch.ones_like(ids)})

    @pytest.mark.parametrize("text", ["\x00", "\u200b\u200d", "\x07 \x1b"])
    def test_nothing_but_characters_that_the_tokenizer_drops(self, explainer: Explainer, text: str) -> None:
        with pytest.raises(InputError, match=r"\[0\]: only special tokens"):
            explainer.explain(text)

    def test_tokenizer_of_another_model(self) -> None:
        model, tokenizer = make_pair("bert")
        target = TextTarget(model, tokenizer)
        network = new_scorer(target, TEXTS, ScorerConfig())
        tokenizer.add_tokens([f"new{i}" for i in range(400)])
        with pytest.raises(InputError, match="do not belong together"):
            Explainer(TextTarget(model, tokenizer), network).explain("new399")


class TestEvidence:
    def test_tokens_that_touch_the_characters(self, explainer: Explainer) -> None:
        rows = [
            {"text": "an awful film", "evidence": {"text": [(3, 8)]}},
            {"text": "a truly great one indeed", "evidence": {"text": []}},
        ]
        batch = explainer.target.reader.read(rows, evidence=True)
        truth = batch.truth
        assert truth is not None
        assert truth["text"].shape == batch.inputs["input_ids"].shape
        (view, _) = batch.texts.views
        marked = {view.texts[0][a:b] for (a, b), on in zip(view.offsets, truth["text"][0], strict=True) if on}
        assert marked
        assert all(part in "awful" for part in marked)
        assert not truth["text"][1].any()

    def test_second_text_of_a_pair(self, explainer: Explainer) -> None:
        samples = [("the film", "was great")]
        batch = explainer.target.reader.read(samples)
        truth = explainer.target.reader.truth([{"text": [(0, 3, 1)]}], batch)["text"]
        (view,) = batch.texts.views
        touched = [view.segments[i] for i in truth[0].nonzero().flatten().tolist()]
        assert touched
        assert set(touched) == {1}

    def test_characters_are_needed(self, explainer: Explainer) -> None:
        ids = Batch(explainer.target.reader.read(TEXTS).inputs)
        with pytest.raises(InputError, match="raw texts"):
            explainer.target.reader.truth([{"text": []}] * 3, ids)


class TestDataSets:
    def test_planted_splits_differ_and_hold_evidence(self) -> None:
        train, test = (load_rows("planted_text", s, count=50) for s in ("train", "test"))
        assert train[0] != test[0]
        row = test[0]
        assert all(0 <= a < b <= len(row["text"]) for a, b in row["evidence"]["text"])
        assert load_rows("planted_text", "test", count=50) == test
        with pytest.raises(ConfigError, match="split"):
            load_rows("planted_text", "dev")

    def test_tweets(self) -> None:
        frame = pd.DataFrame(
            {
                "text": ["so bad", "it is", "so good"],
                "label": [0, 1, 2],
                "selected_start": [3, 0, 3],
                "selected_end": [6, 5, 7],
            }
        )
        two = tidy_tweets(frame)
        assert two["label"].tolist() == [0, 1]
        assert [e["text"] for e in two["evidence"]] == [[[3, 6]], [[3, 7]]]
        assert "evidence" not in tidy_tweets(frame[["text", "label"]])

    def test_reviews_and_statements(self) -> None:
        frame = pd.DataFrame({"text": ["good<br /><br />very"], "label": [1]})
        assert tidy_reviews(frame)["text"][0] == "good\nvery"
        graded = pd.DataFrame({"text": ["x", "y"], "label": [3, 5]})
        assert tidy_statements(graded)["label"].tolist() == [1, 0]
        assert tidy_statements(graded.assign(label6=0))["label"].tolist() == [3, 5]

    def test_local_files_come_first(self, tmp_path: Path) -> None:
        folder = tmp_path / "tweet_sentiment_extraction"
        folder.mkdir()
        frame = pd.DataFrame({"text": ["bad"], "label": [0], "selected_start": [0], "selected_end": [3]})
        frame.to_parquet(folder / "test.parquet")
        rows = load_rows("tweets", "test", data_dir=str(tmp_path))
        assert rows[0] == {"text": "bad", "label": 0, "evidence": {"text": [[0, 3]]}}

    def test_registered(self) -> None:
        assert {"planted_text", "tweets", "imdb", "liar"} <= set(DATASETS)


class TestRun:
    def test_evaluated_with_evidence_and_without_images_rivals(self, run: Run) -> None:
        rows = run.results()["rows"]
        assert {r["granularity"] for r in rows} == {"token"}
        assert {r["fill"] for r in rows} == {"none", "zero", "mean", "random", "drop"}
        usual = {"sidelight", "saliency", "deep_lift", "attention_rollout", "occlusion", "random"}
        assert {r["method"] for r in rows} == usual | {"lime", "kernel_shap"}
        assert {"auprc", "f1", "iou", "pointing_game", "area", "entropy"} <= {r["metric"] for r in rows}
        counts = {r["method"]: r["n"] for r in rows if r["metric"] == "area"}
        assert counts["attention_rollout"] == 12
        assert counts["lime"] == counts["kernel_shap"] == 6
        assert any("DeepLIFT" in note for note in run.results()["notes"])

    def test_the_saved_target_brings_its_tokenizer(self, run: Run) -> None:
        explainer = run.explainer()
        assert explainer.target.reader.tokenizer is not None
        assert explainer.target.id2label == dict(enumerate(CLASSES))
        text = "the film was superb."
        alone = Explainer.from_pretrained(run.scorer_folder(0) / "scorer")
        assert np.allclose(alone.explain(text).map, explainer.explain(text).map, atol=1e-6)

    def test_report_shows_the_words(self, run: Run, tmp_path: Path) -> None:
        page = report_runs([run], tmp_path / "report.html", "text").read_text(encoding="utf-8")
        assert "sidelight-text" in page
        row = run.rows("test", 12)[0]["text"].split()[0]
        assert row in page
        assert "border-bottom:2px" in page  # evidence is underlined

    def test_explain_texts(self, run: Run, tmp_path: Path) -> None:
        out = tmp_path / "out"
        long = "the film was superb. " * 30
        output = invoke("explain", run.folder, "the film was dull!", long, "--out", out)
        assert {p.suffix for p in out.iterdir()} == {".png", ".json", ".html"}
        assert "longer than the model reads" in re.sub(r"\s+", " ", output)
        found = Explanation.load(out / "input-0.json")
        assert "".join(found.inputs["text"]) == "the film was dull!"

    def test_explain_a_csv(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "texts.csv"
        pd.DataFrame({"id": [1, 2], "body": ["the film was dull", "it is superb, no?"]}).to_csv(path)
        invoke("explain", run.folder, "--csv", path, "--column", "body", "--out", tmp_path / "out")
        table = pd.read_csv(tmp_path / "out" / "explanations.csv")
        assert table["label"].isin(CLASSES).all()
        full = json.loads((tmp_path / "out" / "explanations.json").read_text(encoding="utf-8"))
        assert "".join(full[1]["inputs"]["text"]) == "it is superb, no?"

    @pytest.mark.parametrize(
        ("content", "column", "message"),
        [
            ("text\nfine\n", "txt", "Did you mean 'text'"),
            ("", "text", "cannot read"),
        ],
    )
    def test_bad_csv(self, run: Run, tmp_path: Path, content: str, column: str, message: str) -> None:
        path = tmp_path / "texts.csv"
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            invoke("explain", run.folder, "--csv", path, "--column", column, "--out", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_speed(self, run: Run, tmp_path: Path) -> None:
        rows = tmp_path / "rows.json"
        invoke(
            *("speed", "--model", run.folder, "--tokens", 12, "--batch", 2, "--repeats", 2),
            *("--rival", "saliency", "--json", rows),
        )
        timed = json.loads(rows.read_text())
        assert {r["method"] for r in timed} == {"sidelight", "saliency"}
        assert all(row[name] > 0 for row in timed for name in ("classify_ms", "explain_ms", "ratio"))


class TestPretrained:
    def test_a_new_head_for_the_classes(self, tmp_path: Path) -> None:
        model, tokenizer = make_pair("bert")  # three classes
        model.save_pretrained(tmp_path / "encoder")
        tokenizer.save_pretrained(tmp_path / "encoder")
        values = yaml.safe_load(CONFIG)
        values["target"] = {"pretrained": str(tmp_path / "encoder"), "training": {"epochs": 1}}
        target = Run.create(tmp_path / "run", parse_config(values)).open_target()
        assert target.id2label == dict(enumerate(CLASSES))
        assert target.reader.tokenizer.get_vocab() == tokenizer.get_vocab()
        again = Run.open(tmp_path / "run").open_target()
        assert again.fingerprint() == target.fingerprint()

    def test_places(self, tmp_path: Path) -> None:
        assert find_pretrained("FacebookAI/roberta-base") == "FacebookAI/roberta-base"
        assert find_pretrained("sidelight:lab/demo").endswith("demo")
        with pytest.raises(CheckpointError, match="pip install"):
            find_pretrained("no_such_package:model")
        with pytest.raises(CheckpointError, match="no model folder"):
            find_pretrained("sidelight:nowhere")

    def test_unknown_tokenizer(self, tmp_path: Path) -> None:
        values = yaml.safe_load(CONFIG)
        values["target"]["tokenizer"] = "plantd"
        with pytest.raises(ConfigError, match="planted"):
            Run.create(tmp_path / "run", parse_config(values)).open_target()


def test_fills_that_dim_without_removing_are_said() -> None:
    rows = [{"text": t} for t in ("the film was great", "a truly awful movie", "dull")]
    notes = {}
    for family in ("bert", "deberta-v3"):
        model, tokenizer = make_pair(family)
        with torch.no_grad():  # sure of itself, so that a removed word shows
            for name, parameter in model.named_parameters():
                if name.startswith("classifier"):
                    parameter.mul_(20)
        notes[family] = removal_notes(TextTarget(model, tokenizer), rows, ["zero", "mean"])
    dimmed = {
        family: [n.split()[2] for n in found if n.startswith("Under the")] for family, found in notes.items()
    }
    assert dimmed == {"bert": [], "deberta-v3": ["zero"]}


@pytest.mark.parametrize(
    ("fills", "varied", "named"),
    [
        (["zero", "mean"], False, ["zero"]),
        (["zero", "mean"], True, []),  # maps learn under the mean then
        (["zero"], True, ["zero"]),
    ],
)
def test_blind_fills_are_said_unless_others_make_up_for_them(
    fills: list[str], varied: bool, named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": t} for t in ("the film was great", "a truly awful movie", "dull")]
    model, tokenizer = make_pair("deberta-v3")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("classifier"):
                parameter.mul_(20)
    with caplog.at_level("WARNING"):
        assert warn_of_removal(TextTarget(model, tokenizer), rows, fills, varied=varied) == ["zero"]
    told = [r.getMessage() for r in caplog.records if "removes too little" in r.getMessage()]
    assert [message.split()[1] for message in told] == named
    assert all("fills=['mean']" in message for message in told)


def test_a_class_that_needs_no_evidence_is_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"text": t} for t in ("the film was great", "a truly awful movie", "dull")]
    model, tokenizer = make_pair("bert")
    head = next(m for n, m in model.named_modules() if n == "classifier")
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.tensor([0.0, 5.0, 0.0]))
    target = TextTarget(model, tokenizer)
    (found,) = granted_classes(target, target.reader.read([r["text"] for r in rows]).inputs, ["zero"])
    sure = math.exp(5) / (math.exp(5) + 2)
    assert (found.fill, found.label, found.share) == ("zero", target.id2label[1], 1.0)
    assert found.probability == pytest.approx(sure, abs=1e-6)
    (note,) = removal_notes(target, rows, ["zero"])
    assert f"p = {sure:.2f}" in note
    assert "100% of the samples" in note
    with caplog.at_level("WARNING"):
        warn_of_removal(target, rows, ["zero"])
    assert "the classifier is undecided" in caplog.text
    with torch.no_grad():
        head.bias.zero_()
    assert not granted_classes(target, target.reader.read([r["text"] for r in rows]).inputs, ["zero"])
