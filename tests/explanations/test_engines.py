"""The function that other engines call, and what is refused. The cluster itself is tried in ``test_on_ray.py``."""

from __future__ import annotations

import ast
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from sidelight import Explainer, ScorerConfig
from sidelight.errors import ConfigError, InputError, InputTypeError, PeerError
from sidelight.explanations import on_ray
from sidelight.explanations.block_tables import BlockOptions
from sidelight.explanations.engines import Local
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

FRAME = pd.DataFrame({"id": ["a", "b", "c", "d"], "text": [TEXTS[0], "", TEXTS[1], TEXTS[2]]})
KEEP = ["id", "label", "text_top", "error"]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    target = as_target(*make_pair("bert"), class_names=["bad", "fair", "good"])
    torch.manual_seed(0)
    return Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig(by_class=True)))


FORMS: dict[str, Callable[[], Any]] = {
    "a data frame": lambda: FRAME,
    "an Arrow table": lambda: pa.Table.from_pandas(FRAME),
    "a record batch": lambda: pa.RecordBatch.from_pandas(FRAME),
    "a mapping of lists": lambda: FRAME.to_dict("list"),
    "a mapping of arrays": lambda: {name: FRAME[name].to_numpy() for name in FRAME},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_is_answered_in_its_own_form(form: str, explainer: Explainer) -> None:
    explain = pickle.loads(pickle.dumps(explainer.row_function(keep=KEEP, batch_size=2)))
    given = FORMS[form]()
    found = explain(given)
    kinds = {"a record batch": pa.Table, "a mapping of arrays": dict}
    assert type(found) is kinds.get(form, type(given))
    table = pa.Table.from_pandas(found) if form == "a data frame" else found
    columns = table if isinstance(table, dict) else table.to_pydict()
    assert list(columns)[:4] == KEEP
    assert columns["id"] == FRAME["id"].tolist()
    assert [bool(error) for error in columns["error"]] == [False, True, False, False]
    expected = explainer.explain([t for t in FRAME["text"] if t])
    assert [label for label in columns["label"] if label] == [e.label for e in expected]


def test_a_copy_in_another_process_gives_the_same(explainer: Explainer, tmp_path: Path) -> None:
    place = tmp_path / "function"  # transformers notes in a process which models it made
    place.write_bytes(pickle.dumps(explainer.row_function(keep=["text_scores", "error"])))
    code = f"""
import pickle
found = pickle.loads(open({str(place)!r}, "rb").read())({{"text": {TEXTS[:2]!r}}})
print([[round(v, 4) for v in one or []] for one in found["text_scores"]], found["error"], sep="\\n")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    expected = [[round(float(v), 4) for v in e.map] for e in explainer.explain(TEXTS[:2])]
    assert ran.returncode == 0, ran.stderr
    found, errors = map(ast.literal_eval, ran.stdout.splitlines())
    assert errors == [None, None]
    np.testing.assert_allclose(*map(np.concatenate, (found, expected)), atol=1e-3)


def test_datasets_map_calls_it(explainer: Explainer) -> None:
    rows = datasets.Dataset.from_pandas(FRAME).rename_column("text", "said")
    explain = explainer.row_function(columns=["said"], keep=KEEP, target="good")
    found = rows.map(explain, batched=True, batch_size=3, remove_columns=rows.column_names)
    assert found.column_names == KEEP
    assert list(found["id"]) == FRAME["id"].tolist()


def test_a_batch_of_bad_rows_has_all_columns(explainer: Explainer) -> None:
    explain = explainer.row_function(keep=[*KEEP, "text_scores", "text_effects"])
    assert list(explain(FRAME[1:2]).columns) == list(explain(FRAME).columns)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_without_rows_has_an_answer_without_rows(form: str, explainer: Explainer) -> None:
    given = FORMS[form]()
    empty = {name: column[:0] for name, column in given.items()} if isinstance(given, dict) else given[:0]
    explain = explainer.row_function(keep=[*KEEP, "text_scores"])
    found = explain(empty)
    assert type(found) is type(explain(given))
    assert list(found if isinstance(found, dict) else pa.table(found).column_names) == [*KEEP, "text_scores"]
    assert not any(map(len, found.values())) if isinstance(found, dict) else len(found) == 0
    assert explain({}) == {name: [] for name in (*KEEP, "text_scores")}
    with pytest.raises(InputError, match="no column 'lable'"):
        explainer.row_function(keep=["lable"])(empty)


def test_datasets_and_frames_of_parts_that_are_empty(explainer: Explainer) -> None:
    explain = explainer.row_function(keep=KEEP)
    rows = datasets.Dataset.from_pandas(FRAME)
    none = rows.select([]).map(explain, batched=True, remove_columns=rows.column_names)
    assert len(none) == 0
    parts = pd.concat([explain(FRAME[:0]), explain(FRAME)])  # as Spark joins its partitions
    pd.testing.assert_frame_equal(parts, explain(FRAME), check_dtype=False)


def test_a_batch_that_is_none_is_refused(explainer: Explainer) -> None:
    explain = explainer.row_function()
    with pytest.raises(InputTypeError, match="a stream"):
        explain(iter([TEXTS[0]]))
    with pytest.raises(InputError, match=r"no column 'lable'.*label"):
        explainer.row_function(keep=["lable"])(FRAME)
    with pytest.raises(ConfigError, match="float32, float16, uint8"):
        explainer.row_function(scores="half")


def test_engines_that_are_none_are_refused(explainer: Explainer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("engine must be one of local, ray; got 'dask'.")):
        explainer.explain_dataset(TEXTS, tmp_path, engine="dask")
    with pytest.raises(ConfigError, match="workers goes with"):
        explainer.explain_dataset(TEXTS, tmp_path, workers=2)
    with pytest.raises(InputError, match="workers must be"):
        explainer.explain_dataset(TEXTS, tmp_path, engine="ray", workers=0)


# -- the order of blocks and what is lost, on a cluster that is played ---------------------------


class Lost(Exception):
    """Stands for ``ray.exceptions.RayError``."""


class Played:
    """A module with what is used of Ray. Calls are made when their answers are taken, and ``fails`` says which are lost."""

    exceptions = SimpleNamespace(RayError=Lost, RayTaskError=KeyError)

    def __init__(self, fails: Callable[[int], bool]) -> None:
        self.fails, self.calls, self.killed = fails, 0, 0

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        def made(kind: type) -> Any:
            return SimpleNamespace(remote=lambda *args: self._actor(kind(*args)))

        return made

    def _actor(self, worker: Any) -> Any:
        names = ("ready", "table")
        return SimpleNamespace(
            **{n: SimpleNamespace(remote=lambda *a, n=n: Ref(getattr(worker, n), a)) for n in names}
        )

    def wait(self, refs: list[Any], num_returns: int, timeout: float | None) -> Any:
        return [refs[-1]], refs[:-1]  # the last ones first, so that answers come out of order

    def get(self, ref: Any) -> Any:
        if ref.call.__name__ == "table":
            self.calls += 1
            if self.fails(self.calls):
                raise Lost("the node died")
        return ref.call(*ref.given)

    def kill(self, actor: Any) -> None:
        self.killed += 1


class Ref:
    """A call that is not made yet."""

    def __init__(self, call: Any, given: Any) -> None:
        self.call, self.given = call, given


def played(explainer: Explainer, fails: Callable[[int], bool]) -> tuple[Any, Played]:
    engine = object.__new__(on_ray.OnRay)
    engine.ray, engine.explainer, engine.options = Played(fails), explainer, {}
    engine.workers, engine.threads, engine.cuda = 3, torch.get_num_threads(), False
    return on_ray._Run(engine, BlockOptions(2)), engine.ray


def blocks() -> list[Any]:
    rows = [(n, f"{TEXTS[n % 3]} {n}" if n != 17 else "") for n in range(40)]
    return [rows[i : i + 4] for i in range(0, 40, 4)]


@pytest.mark.parametrize("lost", [(), (1,), (2, 5, 6), (1, 2, 3)])
def test_each_block_is_answered_once_and_in_order(explainer: Explainer, lost: tuple[int, ...]) -> None:
    run, cluster = played(explainer, lambda call: call in lost)
    found = list(run.tables(blocks()))
    expected = list(Local(explainer.packing()).tables(blocks(), BlockOptions(2)))
    assert [table.to_pylist() for table in found] == [table.to_pylist() for table in expected]
    assert cluster.calls == 10 + len(lost)
    assert cluster.killed == 3 + len(lost)


def test_a_cluster_that_loses_every_worker_is_an_error(explainer: Explainer) -> None:
    run, cluster = played(explainer, lambda call: True)
    with pytest.raises(PeerError, match="lost again and again at the rows from 0 on: the node died"):
        list(run.tables(blocks()))
    assert cluster.calls <= on_ray.MOST_DEATHS


def test_a_bad_row_stops_a_strict_job_after_the_blocks_before_it(explainer: Explainer) -> None:
    run, _ = played(explainer, lambda call: False)
    run.how = BlockOptions(2, "raise")
    tables = run.tables(blocks())
    found = [next(tables)["row"].to_pylist() for _ in range(4)]
    with pytest.raises(InputError, match="sample 17 is empty"):
        next(tables)
    assert found == [[n, n + 1, n + 2, n + 3] for n in range(0, 16, 4)]
