"""Where blocks of rows are explained: in this process, or by workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from sidelight.core.field_checks import require_choice
from sidelight.explanations.block_tables import BlockOptions, Pack, block_tables
from sidelight.explanations.sorted_blocks import Block

#: names of the engines
ENGINES = ("local", "ray")


class Engine(Protocol):
    """Makes the table of each block, in the order of the blocks, and each table once."""

    def tables(self, blocks: Iterable[Block], how: BlockOptions) -> Generator[Any, None, None]:
        """A ``pyarrow.Table`` for each block (:func:`block_tables`).

        Raises:
            InputError, InputTypeError: a row cannot be explained, and errors are raised.
        """
        ...


class Local:
    """This process explains one block after another.

    Args:
        pack: makes a table of the answers of some rows.
        during: context of the passes, e.g. one in which the model is frozen once for all of them.
    """

    def __init__(self, pack: Pack, during: Callable[[], AbstractContextManager[Any]] = nullcontext) -> None:
        self.pack, self.during = pack, during

    def tables(self, blocks: Iterable[Block], how: BlockOptions) -> Generator[Any, None, None]:
        return block_tables(blocks, self.pack, how, self.during)


def require_engine(name: Any) -> str:
    """``name`` if it is one of :data:`ENGINES`. Raises :class:`ConfigError` otherwise."""
    return require_choice(name, ENGINES, "engine")
