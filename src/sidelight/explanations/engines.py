"""Where blocks of rows are explained: in this process, or by workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from sidelight.errors import ConfigError
from sidelight.explanations.block_tables import BlockOptions, Pack, block_table
from sidelight.explanations.sorted_blocks import Block

#: names of the engines
ENGINES = ("local", "ray")


class Engine(Protocol):
    """Makes the table of each block, in the order of the blocks, and each table once."""

    def tables(self, blocks: Iterable[Block], how: BlockOptions) -> Iterator[Any]:
        """A ``pyarrow.Table`` for each block (:func:`block_table`).

        Raises:
            InputError, InputTypeError: a row cannot be explained, and errors are raised.
        """
        ...


class Local:
    """This process explains one block after another.

    Args:
        pack: makes a table of the answers of some rows.
        during: context of each block, e.g. one in which the model is frozen once for all of its passes.
    """

    def __init__(self, pack: Pack, during: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        self.pack, self.during = pack, during

    def tables(self, blocks: Iterable[Block], how: BlockOptions) -> Iterator[Any]:
        return (self._table(block, how) for block in blocks)

    def _table(self, block: Block, how: BlockOptions) -> Any:
        with self.during():
            return block_table(block, self.pack, how)


def require_engine(name: Any) -> str:
    """``name`` if it is one of :data:`ENGINES`. Raises :class:`ConfigError` otherwise."""
    if name not in ENGINES:
        raise ConfigError(f"engine must be one of {', '.join(ENGINES)}; got {name!r:.60}.")
    return str(name)
