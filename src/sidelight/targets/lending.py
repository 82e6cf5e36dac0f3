"""One classifier lent to several users at once: frozen while anyone has it, one pass at a time.

Explainers of several threads may share a model, or parts of it. What they change on it, they change together:
training flags and gradients are switched off by the first who comes and restored when the last has gone, and
hooks are on it during one pass only. Nothing of this lies on the model or the target, so both pickle and copy.

The locks are ours. A thread that calls or trains the model past sidelight at the same time is not held up.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from weakref import WeakKeyDictionary

import torch
from torch import nn

from sidelight.errors import UnsupportedTargetError

#: transformers marks a model that it has hooked for hidden states, and its hooks come from this module
_MARK, _CAPTURING = "_output_capturing_hooks_installed", "transformers.utils.output_capturing"
#: seconds that a fork waits for a pass of another thread
_FORK_PATIENCE = 60.0

_guard = threading.RLock()  # who has what; held for moments only, never during a pass
_numbers = count()


@dataclass
class _Before:
    """What a module was like before it was lent."""

    training: bool
    trainable: list[nn.Parameter]
    captures: set[int]
    marked: bool


class _Loan:
    """What all users of some modules share.

    Attributes:
        lock: held during a pass.
        users: how many loans each thread has now.
    """

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.lock = threading.RLock()
        self.users: Counter[int] = Counter()
        self._before: dict[nn.Module, _Before] = {}

    def freeze(self, module: nn.Module) -> None:
        """Switch training and gradients of ``module`` alone off, and note what it was like."""
        trainable = [p for p in module.parameters(recurse=False) if p.requires_grad]
        if module not in self._before:
            self._before[module] = _Before(False, [], _captures(module), _MARK in vars(module))
        before = self._before[module]
        before.trainable += trainable
        for parameter in trainable:
            parameter.requires_grad_(False)
        if module.training:
            before.training, module.training = True, False

    def give_back(self) -> None:
        """Restore every module that was frozen."""
        for module, before in self._before.items():
            if before.training:
                module.training = True
            for parameter in before.trainable:
                with torch.inference_mode(
                    parameter.is_inference()
                ):  # the only mode that may change such a flag
                    parameter.requires_grad_(True)
            # left on, they keep the model from being pickled; hooks and mark go together
            for key in _captures(module) - before.captures:
                del module._forward_hooks[key]
            if not before.marked:
                vars(module).pop(_MARK, None)
        self._before.clear()


_loans: WeakKeyDictionary[nn.Module, _Loan] = WeakKeyDictionary()


class _Mine(threading.local):
    """What the current thread has borrowed, by the id of the model."""

    def __init__(self) -> None:
        self.loans: dict[int, Sequence[_Loan]] = {}


_mine = _Mine()


@contextmanager
def lent(model: nn.Module) -> Iterator[None]:
    """Within the context ``model`` is frozen and in evaluation mode; then every flag is as it was before.

    May be nested, and may be open in several threads at once: the last to leave restores. Others may make
    passes meanwhile, so hooks need :func:`one_pass`.
    """
    if id(model) in _mine.loans:
        yield
        return
    modules = list(model.modules())
    loans = _loans_of(modules)
    with _all_locks(loans):  # a training pass of another thread ends first
        _freeze(modules, loans)
    _mine.loans[id(model)] = loans
    try:
        yield
    finally:
        del _mine.loans[id(model)]
        _give_back(loans)


@contextmanager
def one_pass(model: nn.Module) -> Iterator[None]:
    """As :func:`lent`, and no other thread makes a pass through a module of ``model`` meanwhile."""
    with _all_locks(_mine.loans.get(id(model)) or _loans_of(list(model.modules()))), lent(model):
        yield


@contextmanager
def training_pass(model: nn.Module) -> Iterator[None]:
    """A pass, as :func:`one_pass`, that takes the flags of ``model`` as they are and leaves them alone."""
    outer = _mine.loans.get(id(model))
    loans = outer or _loans_of(list(model.modules()))
    with _all_locks(loans):
        _mine.loans[id(model)] = loans  # what is lent within is taken for frozen already
        try:
            yield
        finally:
            if outer is None:
                del _mine.loans[id(model)]


@contextmanager
def _all_locks(loans: Sequence[_Loan]) -> Iterator[None]:
    with ExitStack() as held:
        for loan in loans:
            held.enter_context(loan.lock)
        yield


def _loans_of(modules: Sequence[nn.Module]) -> list[_Loan]:
    """The loans that ``modules`` belong to, in one order for all; new modules join the first of them."""
    with _guard:
        found = {loan.number: loan for m in modules if (loan := _loans.get(m)) is not None}
        ordered = [found[number] for number in sorted(found)] or [_Loan()]
        for module in modules:
            _loans.setdefault(module, ordered[0])
    return ordered


def _freeze(modules: Sequence[nn.Module], loans: Sequence[_Loan]) -> None:
    with _guard:
        for loan in loans:
            loan.users[threading.get_ident()] += 1
        for module in modules:
            _loans[module].freeze(module)


def _give_back(loans: Sequence[_Loan]) -> None:
    with _guard:
        for loan in loans:
            loan.users[threading.get_ident()] -= 1
            loan.users += Counter()  # drops threads that have nothing left
            if not loan.users:
                loan.give_back()


def _captures(module: nn.Module) -> set[int]:
    """Keys of the hooks that transformers put on ``module`` to collect hidden states."""
    return {k for k, h in module._forward_hooks.items() if getattr(h, "__module__", "") == _CAPTURING}


def check_gradients_pass(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` for weights made in inference mode, which gradients cannot pass."""
    name = next((n for n, p in model.named_parameters() if p.is_inference()), None)
    if name is not None:
        raise UnsupportedTargetError(
            f"the weights of {type(model).__name__} ({name}, ...) were made inside torch.inference_mode(), so no gradient "
            "can pass through them. Load the model outside of it; fit() itself may be called inside."
        )


# -- forks: a child must not inherit a pass, or a lock, of a thread that it does not have ----------

_held: list[_Loan] = []


def _before_fork() -> None:
    with _guard:
        loans = sorted(set(_loans.values()), key=lambda loan: loan.number)
    _held[:] = [loan for loan in loans if loan.lock.acquire(timeout=_FORK_PATIENCE)]
    _guard.acquire()


def _after_fork_in_parent() -> None:
    _guard.release()
    for loan in _held:
        loan.lock.release()
    _held.clear()


def _after_fork_in_child() -> None:
    _after_fork_in_parent()
    me = threading.get_ident()
    for loan in set(_loans.values()):
        loan.users = Counter({me: loan.users[me]}) if loan.users[me] else Counter()
        if not loan.users:
            loan.give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
