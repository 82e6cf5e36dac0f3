"""What was trained is what was asked for: a finished training is taken up again only where everything is equal.

Row 04 of the reports, for texts and pictures; what counts as the same data; locks.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from fault_models import SQUARE, P, S, T, bert, eye, tok
from PIL import Image
from torch import nn

from sidelight import Explainer, ImageTransform
from sidelight.core.files import write_json
from sidelight.core.locks import hold
from sidelight.errors import BusyFolderError, CheckpointError, ConfigError
from sidelight.fills.base import FILLS
from sidelight.rows import content
from sidelight.rows.content import content_of
from sidelight.targets import TargetModel
from sidelight.training.folder import IDENTITY, newest_checkpoint, read_csv, step_of
from sidelight.training.identity import differences
from sidelight.training.trainer import CsvLog

QUICK = {**S, "extra": {"disable_tqdm": True, "use_cpu": True}}
ROWS = [{"text": t, "label": i % 3} for i, t in enumerate(T)]


def texts(folder: Any, rows: Any = ROWS, **changes: Any) -> Explainer:
    model = changes.pop("model", None) or bert()
    tokenizer = changes.pop("processor", None) or tok()
    return Explainer.fit(model, rows, processor=tokenizer, output_dir=folder, **{**QUICK, **changes})


def same(a: Explainer, b: Explainer) -> bool:
    first, second = a.scorer.state_dict(), b.scorer.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def changed(**change: Any) -> list[dict[str, Any]]:
    return [*ROWS[:30], {**ROWS[30], **change}, *ROWS[31:]]


def other_tokenizer() -> Any:
    found = tok()
    found.padding_side = "left"
    return found


def other_vocabulary() -> Any:
    found = tok()
    found.add_tokens(["story"])
    return found


def other_configuration() -> nn.Module:
    model = bert()
    model.config.problem_type = "single_label_classification"
    return model


def other_structure() -> nn.Module:
    model = bert()
    model.bert.encoder.layer[0].output.dropout = nn.Dropout(0.3)
    return model


DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "other texts": ({"rows": changed(text="another film")}, "the rows of train"),
    "a corrected label": ({"rows": changed(label=(ROWS[30]["label"] + 1) % 3)}, "the rows of train"),
    "another order": ({"rows": ROWS[::-1]}, "the rows of"),
    "fewer rows": ({"rows": ROWS[:50]}, r"the rows of train \(54 there, 45 now\)"),
    "other validation rows": ({"eval": ROWS[:6], "rows": ROWS[:54]}, "the rows of eval"),
    "another layer": ({"layers": [0]}, r"layers \(\[-1\] there, \[0\] now\)"),
    "more layers": ({"layers": [0, -1]}, "layers"),
    "another length": ({"max_length": 8}, "max_length"),
    "another padding side": ({"processor": other_tokenizer}, "the processor"),
    "another vocabulary": ({"processor": other_vocabulary}, "the processor"),
    "a setting of the scorer": ({"relu": False}, r"relu \(true there, false now\)"),
    "a setting of the objective": ({"magnitude_weight": 0.5}, "magnitude_weight"),
    "a setting of the training": ({"learning_rate": 1e-4}, "learning_rate"),
    "another seed": ({"seed": 3}, "seed"),
    "another model": ({"model": lambda: bert(seed=4)}, "the model's weights"),
    "another configuration": ({"model": other_configuration}, "the model's structure or configuration"),
    "another structure": ({"model": other_structure}, "the model's structure or configuration"),
}


def hooked() -> nn.Module:
    model = bert()
    model.classifier.register_forward_hook(lambda module, given, logits: 3 * logits)
    return model


def patched() -> nn.Module:
    model = bert()
    original = model.forward

    @functools.wraps(original)
    def forward(*args: Any, **options: Any) -> Any:
        out = original(*args, **options)
        out.logits = 3 * out.logits
        return out

    model.forward = forward
    return model


def other_attribute() -> nn.Module:
    model = bert()
    model.bert.encoder.layer[0].attention.self.scaling = 0.01
    return model


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Explainer:
    return texts(tmp_path_factory.mktemp("identity") / "run")


@pytest.mark.parametrize("case", DIFFERENT)
def test_fault_04_a_finished_training_is_not_returned_for_another(first: Explainer, case: str) -> None:
    change, words = DIFFERENT[case]
    made = {k: v() if callable(v) else v for k, v in change.items()}
    with pytest.raises(ConfigError, match=rf"(?s)another training.*{words}.*resume=False"):
        texts(first.output_dir, **made)


@pytest.mark.parametrize("make", [hooked, patched, other_attribute])
def test_kind_a_model_of_the_same_weights_that_answers_otherwise_is_another(
    first: Explainer, make: Callable[[], nn.Module], tmp_path: Path
) -> None:
    words = r"another training \(different: the model's answers.*logits \[.*\] there, \[.*\] now"
    with pytest.raises(ConfigError, match=words):
        texts(first.output_dir, model=make())
    own = texts(tmp_path, model=make())
    assert same(own, texts(tmp_path, model=make()))


def test_kind_answers_of_another_device_or_version_are_the_same_training(first: Explainer) -> None:
    record = first.output_dir / IDENTITY
    kept = json.loads(record.read_text())
    noted = kept["answers"]
    near = [[v + 0.5 * noted["off"] for v in row] for row in noted["logits"]]
    coarse = {
        "logits": [[1.005 * v for v in row] for row in noted["logits"]],
        "off": 100 * noted["off"],
    }  # of a GPU
    without = {k: v for k, v in kept.items() if k != "answers"}
    for found in ({**kept, "answers": {**noted, "logits": near}}, {**kept, "answers": coarse}, without):
        write_json(record, found)
        assert same(first, texts(first.output_dir))


def test_kind_metrics_are_of_the_weights_if_the_best_checkpoint_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"epochs": 2, "evals_per_epoch": 2, "batch_size": 8, "patience": 0}
    whole = texts(tmp_path / "whole", T, **options)
    best = min((p for p in (tmp_path / "whole").glob("checkpoint-*")), key=step_of)
    losses = [float(r["eval_loss"]) for r in read_csv(tmp_path / "whole" / "log.csv") if r.get("eval_loss")]
    assert min(losses) == losses[0] < losses[-1]  # not the last one is the best

    def removed(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == step_of(best) + 2:
            shutil.rmtree(Path(args.output_dir) / best.name)

    monkeypatch.setattr(CsvLog, "on_step_end", removed)
    last = texts(tmp_path / "run", T, **options)
    assert f"{best.name} had the best weights, and somebody removed it" in caplog.text
    assert not same(whole, last)
    assert last.training_metrics["eval_loss"] == pytest.approx(losses[-1], abs=1e-5)
    monkeypatch.undo()
    again = texts(tmp_path / "run", T, **options)
    assert same(last, again)
    assert again.training_metrics["eval_loss"] == last.training_metrics["eval_loss"]


def test_kind_a_model_that_answers_at_random_goes_on(tmp_path: Path) -> None:
    def noisy() -> nn.Module:
        model = bert()
        model.classifier.register_forward_hook(lambda module, given, logits: logits + torch.rand(1))
        return model

    texts(tmp_path, model=noisy(), check="warn")
    assert "answers" not in json.loads((tmp_path / IDENTITY).read_text())
    texts(tmp_path, model=noisy(), check="warn")


def test_fault_04_the_same_training_is_taken_up_and_said_so(
    first: Explainer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "sidelight"):
        # equal by content, however it is given
        again = texts(first.output_dir, tuple(dict(r) for r in ROWS), on_collapse="stop", checkpoints=3)
    assert same(first, again)
    assert "taken up again" in caplog.text


def test_fault_04_the_weights_are_hashed_once_and_kept_with_the_scorer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes: list[str] = []
    original = TargetModel.fingerprint

    def counted(self: TargetModel) -> str:
        hashes.append(original(self))
        return hashes[-1]

    monkeypatch.setattr(TargetModel, "fingerprint", counted)
    texts(tmp_path / "run")
    kept = [json.loads((tmp_path / "run" / name).read_text()) for name in (IDENTITY, "scorer/config.json")]
    assert hashes == [kept[0]["target"]] == [kept[1]["target"]["fingerprint"]]


def test_fault_04_the_default_folder_is_never_that_of_another_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = texts(None, layers=[-1]), texts(None, ROWS[::-1], layers=[0])
    assert b.target.layers == (0,)
    assert not same(a, b)


@pytest.mark.slow
def test_fault_04_starting_over_trains_on_what_is_given(first: Explainer, tmp_path: Path) -> None:
    texts(tmp_path / "run")
    over = texts(tmp_path / "run", ROWS[::-1], resume=False)
    assert not same(first, over)
    assert same(over, texts(tmp_path / "fresh", ROWS[::-1]))


def test_fault_04_pictures_and_their_transform(tmp_path: Path) -> None:
    def fit(rows: Any, transform: ImageTransform = SQUARE) -> Explainer:
        return Explainer.fit(eye(), rows, processor=transform, output_dir=tmp_path / "run", **QUICK)

    found = fit(P)
    assert same(found, fit([p.copy() for p in P]))
    with pytest.raises(ConfigError, match="the processor"):
        fit(P, ImageTransform((32, 32), mean=(0.4,) * 3))
    pixels = np.array(P[7])
    pixels[3, 3, 0] ^= 1
    with pytest.raises(ConfigError, match="the rows of train"):
        fit([*P[:7], Image.fromarray(pixels), *P[8:]])


@pytest.mark.slow
def test_fault_04_an_unfinished_training_of_other_data_is_not_continued(tmp_path: Path) -> None:
    texts(tmp_path / "run", epochs=2)
    steps = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    for later in steps[1:]:
        (later / "trainer_state.json").unlink()
    with pytest.raises(ConfigError, match="the rows of train"):
        texts(tmp_path / "run", ROWS[::-1], epochs=2)


def as_early(folder: Path) -> None:
    """Turn a training's folder into what an earlier version left: no marks, no record of the data."""
    path = folder / IDENTITY
    found = json.loads(path.read_text())
    early = {k: found[k] for k in ("target", "scorer", "objective", "training")}
    path.write_text(json.dumps({**early, "rows": [found["train"]["rows"], found["eval"]["rows"]]}))
    for mark in folder.glob("checkpoint-*/sidelight.json"):
        mark.unlink()


def test_fault_04_a_finished_training_of_an_earlier_version_is_refused_with_the_way_on(
    tmp_path: Path,
) -> None:
    found = texts(tmp_path / "run")
    as_early(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"no record of the data.*resume=False.*from_pretrained"):
        texts(tmp_path / "run")
    assert same(Explainer.from_pretrained(tmp_path / "run" / "scorer", bert(), processor=tok()), found)
    assert same(texts(tmp_path / "run", resume=False), found)


@pytest.mark.slow
def test_fault_04_an_unfinished_training_of_an_earlier_version_goes_on_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = texts(tmp_path / "whole", epochs=2)
    texts(tmp_path / "run", epochs=2)
    as_early(tmp_path / "run")
    newest = newest_checkpoint(tmp_path / "run")
    assert newest is not None
    (newest / "optimizer.pt").unlink()
    (newest / "trainer_state.json").unlink()
    caplog.clear()
    assert same(texts(tmp_path / "run", epochs=2), whole)
    assert "no record of the data" in caplog.text


# -- what counts as the same data -------------------------------------------------------


def digest(rows: Any) -> str | None:
    return content_of(rows).digest


def test_kind_content_counts_not_the_object(tmp_path: Path) -> None:
    picture = P[0]
    for name in ("a.png", "b.png"):
        picture.save(tmp_path / name)
    P[1].save(tmp_path / "c.png")
    same_pairs = [
        ([tmp_path / "a.png"], [str(tmp_path / "b.png")]),
        ([Image.open(tmp_path / "a.png")], [picture]),
        ([{"image": picture, "label": np.int64(2)}], [{"label": 2, "image": picture.copy()}]),
        ([io.BytesIO(b"abc")], [b"abc"]),
        ([torch.arange(4.0)], [torch.arange(4.0)]),
        ([np.arange(4)[::2]], [np.array([0, 2])]),
        (Dataset.from_list(ROWS), Dataset.from_list(ROWS * 2).select(range(60))),
    ]
    for one, other in same_pairs:
        assert digest(one) == digest(other) is not None, one
    different = [
        [tmp_path / "a.png"],
        [tmp_path / "c.png"],
        ["a"],
        [b"a"],
        [("a", "b")],
        ["a", "b"],
        ["ab"],
        [{"text": "a", "label": 1}],
        [{"text": "a", "label": 0}],
        [{"text": "a", "label": None}],
        [("a", 1)],
        [torch.zeros(2)],
        [torch.zeros(2, dtype=torch.float64)],
        [torch.zeros(2, 1)],
        [np.zeros(2, np.float32)],
        ["\ud83d"],
        Dataset.from_list(ROWS),
        Dataset.from_list(ROWS[::-1]),
        Dataset.from_list(changed(label=9)),
        torch.zeros(3, 2),
        np.ones((3, 2)),
    ]
    found = [digest(rows) for rows in different]
    assert len(set(found)) == len(different)


def test_kind_a_data_set_of_pictures_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Features
    from datasets import Image as Picture

    rows = Dataset.from_dict({"image": P[:4]}, features=Features({"image": Picture()}))
    other = Dataset.from_dict({"image": [*P[:3], P[9]]}, features=Features({"image": Picture()}))

    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Picture, "decode_example", decode)
    assert digest(rows) != digest(other)


def test_kind_rows_that_change_from_look_to_look_have_no_digest(tmp_path: Path) -> None:
    class Drawn(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> Any:
            return torch.rand(3, 32, 32)

    assert digest(Drawn()) is None
    settings = {**QUICK, "eval": P[:4], "processor": SQUARE, "output_dir": tmp_path / "run"}
    Explainer.fit(eye(), Drawn(), **settings)
    with pytest.raises(ConfigError, match="rows that change"):
        Explainer.fit(eye(), Drawn(), **settings)


def test_kind_long_data_are_looked_at_in_parts_that_are_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MOST_COMPUTED_ROWS", 10)

    class Computed:
        def __init__(self, rows: list[Any]) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, index: int) -> Any:
            return self.rows[index]

    found = content_of(Computed(list(range(100))))
    assert (found.rows, found.looked_at) == (100, 10)
    assert content_of(Computed([*range(99), 7])).digest != found.digest  # the last is among them
    assert content_of(Computed(list(range(99)))).digest != found.digest
    assert content_of(list(range(100))).looked_at == 100


def test_kind_labels_of_all_rows_count_where_pictures_are_looked_at_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(content, "MOST_PICTURES", 5)
    rows = [(p, i % 3) for i, p in enumerate(P)]
    for number in range(len(rows)):
        other = [*rows]
        other[number] = (other[number][0], 7)
        assert digest(other) != digest(rows)


def test_kind_telling_the_content_is_cheap() -> None:
    """Generous: about 5 ms were measured for 1,000 texts and 0.3 s for 1,000 pictures of 224 pixels."""
    rows = ROWS * 50
    start = time.perf_counter()
    content_of(rows)
    assert time.perf_counter() - start < 0.5 * len(rows) / 1000


# -- one at a time ----------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from sidelight.core.files import write_json
from sidelight.core.locks import hold
with hold(Path(sys.argv[1]), "fit"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_kind_a_second_process_is_refused_and_told_who_works_there(holder: Any, tmp_path: Path) -> None:
    with pytest.raises(BusyFolderError, match=rf"in use: fit of process {holder.pid} on .*since"):
        texts(tmp_path / "run")
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_kind_a_killed_process_holds_nobody_up(holder: Any, tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    assert list((tmp_path / "run").glob("*.lock*")) or list((tmp_path / "run").glob(".*.lock*"))
    with hold(tmp_path / "run", "fit"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_kind_a_lock_file_of_a_number_that_lives_holds_nobody_up(tmp_path: Path) -> None:
    """The process number was given to another process since: only the system's own lock counts."""
    about = {"process": os.getpid(), "host": "elsewhere", "started": "2020-01-01 00:00:00", "purpose": "fit"}
    (tmp_path / ".sidelight.lock").write_text("")
    (tmp_path / ".sidelight.lock.json").write_text(json.dumps(about))
    with hold(tmp_path, "fit"):
        pass


def test_kind_two_threads_of_one_process(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        with hold(tmp_path, "fit"):
            inside.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(work)
        inside.wait(10)
        with pytest.raises(BusyFolderError, match="another thread"), hold(tmp_path, "fit"):
            pass
        with hold(tmp_path, "evaluate", "shard-1-of-2"), hold(tmp_path, "evaluate", "shard-2-of-2"):
            pass
        done.set()
        first.result()
    with hold(tmp_path, "fit"), hold(tmp_path, "fit"):  # the holder may enter again
        pass
    assert not list(tmp_path.iterdir())


def test_kind_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    with hold(tmp_path, "fit"):
        child = os.fork()
        if child == 0:
            time.sleep(20)
            os._exit(0)
    try:
        other = "import sys; from pathlib import Path; from sidelight.core.locks import hold\nwith hold(Path(sys.argv[1]), 'x'): pass"
        subprocess.run([sys.executable, "-c", other, str(tmp_path)], check=True, timeout=60)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_kind_a_lock_file_that_its_last_holder_removes_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went between opening and locking it. Whoever came next would lock a new file of its name."""
    fcntl = pytest.importorskip("fcntl")
    lock, take = tmp_path / ".sidelight.lock", fcntl.flock
    gone: list[bool] = []

    def late(file: int, how: int) -> None:
        if not gone:
            lock.unlink()
            gone.append(True)
        take(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with hold(tmp_path, "fit"):
        assert gone
        assert lock.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder with an open file")
@pytest.mark.parametrize("again", [True, False])
def test_kind_a_folder_that_moves_while_a_process_works_there_is_told(again: bool, tmp_path: Path) -> None:
    """A training went on in a new folder of the old name, which had no classifier, and said that all was well."""
    run = tmp_path / "run"

    def work() -> None:
        with hold(run, "fit"), hold(run, "fit"):
            run.rename(tmp_path / "elsewhere")
            if again:
                run.mkdir()

    with pytest.raises(CheckpointError, match=r"run was moved, renamed or removed while fit worked there"):
        work()
    with hold(run, "fit"):  # the lock is free again
        pass


def test_kind_a_lock_file_that_a_person_removes_is_no_moved_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with hold(Path("run"), "fit"):
        for file in Path("run").iterdir():
            file.unlink()
        monkeypatch.chdir("/")


def test_kind_a_training_with_another_code_of_a_fill_of_ones_own_is_another_training(tmp_path: Path) -> None:
    fills = FILLS["text"]

    def register(number: int, factor: float) -> None:
        file = tmp_path / f"fill{number}.py"
        file.write_text(f"def mine(x, context):\n    return x * {factor}\n")
        values: dict[str, Any] = {"__name__": f"fill{number}"}
        exec(compile(file.read_text(), str(file), "exec"), values)
        fills._entries["mine"] = values["mine"]

    try:
        register(1, 0.5)
        first = texts(tmp_path / "out", fills=["mine"])
        register(2, 0.5)
        assert same(texts(tmp_path / "out", fills=["mine"]), first)
        register(3, 0.25)
        with pytest.raises(ConfigError, match="different: the code of your own fills"):
            texts(tmp_path / "out", fills=["mine"])
        about = json.loads((tmp_path / "out" / IDENTITY).read_text())
        earlier = {k: v for k, v in about.items() if k != "code"}  # which did not look at it
        assert about["code"]
        assert not differences(earlier, about)
    finally:
        fills._entries.pop("mine", None)


def test_kind_an_unfinished_training_of_other_processes_is_not_continued(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    found = texts(folder, epochs=2)
    about = json.loads((folder / IDENTITY).read_text())
    assert about["processes"] == 1
    write_json(folder / IDENTITY, {**about, "processes": 2})
    assert same(texts(folder, epochs=2), found), "a finished one is its result, whoever asks"
    assert json.loads((folder / IDENTITY).read_text())["processes"] == 2
    newest = newest_checkpoint(folder)
    assert newest is not None
    (newest / "trainer_state.json").unlink()
    with pytest.raises(ConfigError, match=r"number of processes \(2 there, 1 now; with 2 it goes on\)"):
        texts(folder, epochs=2)
    write_json(folder / IDENTITY, {k: v for k, v in about.items() if k != "processes"})
    assert same(texts(folder, epochs=2), found), "an earlier version kept no record of it"
