"""Loans of one classifier to several users at once. It stays frozen meanwhile and runs one pass at a time.

Explainers of several threads may share a model, or parts of it. The first user switches training flags and
gradients off, and the last user restores them. Hooks stay on the model during one pass only. The records lie
outside the model and the target, so both can be pickled and copied.

Ctrl-C may come between any two steps. So a flag is recorded before it is changed, every step of giving back may be
done twice, and giving back that is interrupted is begun again.

Only sidelight uses these locks. They do not stop a thread that calls or trains the model directly.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from weakref import WeakKeyDictionary

import torch
from torch import nn

from sidelight.errors import UnsupportedTargetError

#: transformers sets this mark on a model with hooks for hidden states, and the hooks come from this module
_MARK, _CAPTURING = "_output_capturing_hooks_installed", "transformers.utils.output_capturing"
#: seconds that a fork waits for a pass of another thread
_FORK_PATIENCE = 60.0

_guard = threading.RLock()  # protects the loans, and passes do not hold it
_numbers = count()


@dataclass
class _Before:
    """The state of a module before its loan."""

    training: bool
    trainable: list[nn.Parameter]
    captures: set[int]
    marked: bool


class _Loan:
    """The shared record of all users of some modules.

    Attributes:
        lock: a pass holds it.
        users: the thread of each current loan.
    """

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.lock = threading.RLock()
        self.users: dict[object, int] = {}
        self._before: dict[nn.Module, _Before] = {}

    def freeze(self, module: nn.Module) -> None:
        """Switch off training and gradients of ``module`` alone, and record its state before."""
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
        """Restore every frozen module. It may be called again if it was interrupted."""
        for module, before in self._before.items():
            if before.training:
                module.training = True
                _train_new_parts(module)
            for parameter in before.trainable:
                with torch.inference_mode(
                    parameter.is_inference()
                ):  # the only mode that may change such a flag
                    parameter.requires_grad_(True)
            # a model with these hooks cannot be pickled, so both hooks and mark must go
            for key in _captures(module) - before.captures:
                del module._forward_hooks[key]
            if not before.marked:
                vars(module).pop(_MARK, None)
        self._before.clear()


_loans: WeakKeyDictionary[nn.Module, _Loan] = WeakKeyDictionary()


class _Mine(threading.local):
    """The current thread's loans, by the id of the model."""

    def __init__(self) -> None:
        self.loans: dict[int, Sequence[_Loan]] = {}


_mine = _Mine()


@contextmanager
def lent(model: nn.Module) -> Iterator[None]:
    """Freeze ``model`` and put it in evaluation mode. The exit restores every flag.

    Contexts may nest and may be open in several threads at once. The last exit restores the flags. Other
    threads may run passes meanwhile, so hooks need :func:`one_pass`.
    """
    if id(model) in _mine.loans:
        yield
        return
    modules = list(model.modules())
    loans, user = _loans_of(modules), object()
    try:
        with _all_locks(loans):  # wait until another thread's training pass ends
            _freeze(modules, loans, user)
        _mine.loans[id(model)] = loans
        yield
    finally:
        try:
            _give_back(model, loans, user)
        except BaseException:
            _give_back(model, loans, user)
            raise


@contextmanager
def one_pass(model: nn.Module) -> Iterator[None]:
    """Do the same as :func:`lent`, and block other threads' passes through modules of ``model``."""
    with _all_locks(_mine.loans.get(id(model)) or _loans_of(list(model.modules()))), lent(model):
        yield


@contextmanager
def training_pass(model: nn.Module) -> Iterator[None]:
    """Lock a pass as :func:`one_pass` does, but leave the flags of ``model`` unchanged."""
    outer = _mine.loans.get(id(model))
    loans = outer or _loans_of(list(model.modules()))
    with _all_locks(loans):
        _mine.loans[id(model)] = loans  # loans inside this pass then skip freezing
        try:
            yield
        finally:
            if outer is None:
                _mine.loans.pop(id(model), None)


@contextmanager
def _all_locks(loans: Sequence[_Loan]) -> Iterator[None]:
    if not loans:
        yield
        return
    with loans[0].lock, _all_locks(loans[1:]):
        yield


def _loans_of(modules: Sequence[nn.Module]) -> list[_Loan]:
    """Return the loans of ``modules``, in a global order that prevents deadlock. New modules join the first."""
    with _guard:
        found = {loan.number: loan for m in modules if (loan := _loans.get(m)) is not None}
        ordered = [found[number] for number in sorted(found)] or [_Loan()]
        for module in modules:
            _loans.setdefault(module, ordered[0])
    return ordered


def _freeze(modules: Sequence[nn.Module], loans: Sequence[_Loan], user: object) -> None:
    with _guard:
        for loan in loans:
            loan.users[user] = threading.get_ident()
        for module in modules:
            _loans[module].freeze(module)


def _give_back(model: nn.Module, loans: Sequence[_Loan], user: object) -> None:
    _mine.loans.pop(id(model), None)
    with _guard:
        for loan in loans:
            loan.users.pop(user, None)
            if not loan.users:
                loan.give_back()


def _captures(module: nn.Module) -> set[int]:
    """Return the keys of transformers' hooks on ``module`` that collect hidden states."""
    return {k for k, h in module._forward_hooks.items() if getattr(h, "__module__", "") == _CAPTURING}


def _train_new_parts(module: nn.Module) -> None:
    """Put parts that a pass made in the mode of ``module``. BigBird replaces its attention if a text is short."""
    for part in module.children():
        if part not in _loans:
            part.training = True
            _train_new_parts(part)


def check_gradients_pass(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if weights come from inference mode, because gradients cannot pass."""
    name = next((n for n, p in model.named_parameters() if p.is_inference()), None)
    if name is not None:
        raise UnsupportedTargetError(
            f"the weights of {type(model).__name__} ({name}, ...) were made inside torch.inference_mode(), so no gradient "
            "can pass through them. Load the model outside of it; fit() itself may be called inside."
        )


# -- forks: a child must not inherit a pass or a lock of a thread that it lacks --------------------

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
        loan.users = {user: thread for user, thread in loan.users.items() if thread == me}
        if not loan.users:
            loan.give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
