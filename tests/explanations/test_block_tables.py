"""Blocks of rows pass through three steps at once, and come out as if one batch followed another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from sidelight import Explainer
from sidelight.errors import ConfigError, InputError
from sidelight.explanations.block_tables import BlockOptions, Pack, block_tables
from sidelight.explanations.packing import joined
from sidelight.explanations.sorted_blocks import Block
from sidelight.scorers import ScorerConfig
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

PATIENCE = 10.0
ROWS = [f"{TEXTS[n % len(TEXTS)]} {'film ' * (n * 7 % 5)}" for n in range(20)]


@pytest.fixture
def pack() -> Pack:
    target = as_target(*make_pair("bert"))
    return Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig())).packing()


def blocks(rows: Sequence[Any] = ROWS, size: int = 8) -> list[Block]:
    numbered = list(enumerate(rows))
    return [numbered[start : start + size] for start in range(0, len(numbered), size)]


def test_a_batch_is_read_and_another_packed_while_one_is_in_the_model(pack: Pack) -> None:
    events = {name: threading.Event() for name in ("read", "packed")}
    count = {"read": 0, "passed": 0}

    def read(rows: Any, numbers: Any) -> Any:
        count["read"] += 1
        if count["read"] == 3:
            events["read"].set()
        return pack.read(rows, numbers)

    def answer(batch: Any, numbers: Any) -> Any:
        count["passed"] += 1
        if count["passed"] == 2:  # the third batch is read and the first one packed meanwhile
            assert events["read"].wait(PATIENCE)
            assert events["packed"].wait(PATIENCE)
        return pack.answer(batch, numbers)

    class Watched(Pack):
        def table(self, *args: Any) -> Any:
            events["packed"].set()
            return pack.table(*args)

    watched = Watched(pack.target, read, answer)
    found = joined(list(block_tables(blocks(), watched, BlockOptions(4))))
    assert found["row"].to_pylist() == list(range(20))
    assert not any(found["error"].to_pylist())


@pytest.mark.parametrize("size", [1, 3, 8, 30])
@pytest.mark.parametrize("rows", [ROWS, [*ROWS[:5], "", *ROWS[5:9], 7, ROWS[9]], ["", ""]])
def test_tables_are_those_of_the_batches_alone(pack: Pack, rows: list[Any], size: int) -> None:
    options = BlockOptions(3, by_length=False)
    found = joined(list(block_tables(blocks(rows, size), pack, options))).to_pylist()
    bad = [not isinstance(row, str) or not row for row in rows]
    assert [bool(row["error"]) for row in found] == bad
    good = [n for n, wrong in enumerate(bad) if not wrong]
    alone = [pack([rows[n]], [n]).to_pylist()[0] for n in good]
    for n, one in zip(good, alone, strict=True):
        assert found[n]["probability"] == pytest.approx(one["probability"], abs=1e-6)
        assert found[n]["text_scores"] == pytest.approx(one["text_scores"], abs=1e-5)
        assert found[n]["text_words"] == one["text_words"]


def test_the_first_bad_row_is_the_one_named(pack: Pack) -> None:
    rows = [*ROWS[:6], "", *ROWS[6:9], 7]
    unread: Block = [*enumerate(rows[:6]), (6, InputError("row 6 is torn")), *enumerate(rows[7:], start=7)]
    for block, told in ((list(enumerate(rows)), "sample 6"), (unread, "row 6 is torn")):
        tables = block_tables([block[:4], block[4:]], pack, BlockOptions(2, "raise"))
        assert next(tables)["row"].to_pylist() == [0, 1, 2, 3]
        with pytest.raises(InputError, match=told):
            next(tables)


def test_an_error_that_no_row_causes_ends_the_job(pack: Pack) -> None:
    def answer(batch: Any, numbers: Any) -> Any:
        raise ConfigError("no such class")

    with pytest.raises(ConfigError, match="no such class"):
        list(block_tables(blocks(), replace(pack, answer=answer), BlockOptions(4)))


def test_blocks_are_drawn_in_the_thread_of_the_caller(pack: Pack) -> None:
    # cursors of SQLite refuse every other thread
    threads = set[str]()

    def drawn() -> Iterator[Block]:
        for block in blocks():
            threads.add(threading.current_thread().name)
            yield block

    list(block_tables(drawn(), pack, BlockOptions(4)))
    assert threads == {threading.current_thread().name}
