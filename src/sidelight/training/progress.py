"""A quiet progress bar in place of the Trainer's own printing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress, TaskID
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from sidelight.core.terminal import counting_bar


class ProgressBar(TrainerCallback):
    """One bar for a training, with the newest losses beside it.

    Args:
        title: name of the trained model.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._losses: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        # on a console of its own, because the caller may show a bar on the shared one
        self._bar = counting_bar()
        self._task = self._bar.add_task(self.title, total=state.max_steps, completed=state.global_step)
        self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._losses.update({k: float(v) for k, v in (logs or {}).items() if k in ("loss", "eval_loss")})
        if self._bar is not None and self._task is not None:
            shown = " ".join(f"{k} {v:.3f}" for k, v in sorted(self._losses.items()))
            self._bar.update(self._task, description=f"{self.title} {shown}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar, also if the training ended with an error."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None


@contextmanager
def shown_progress(trainer: Trainer, title: str, extra: Mapping[str, Any]) -> Iterator[None]:
    """Within the context one :class:`ProgressBar` replaces the Trainer's printing.

    Args:
        extra: the user's further arguments of the Trainer. With ``disable_tqdm`` no bar is shown. The Trainer's own value does
            not count: it is also true wherever transformers is told to say little.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    bar = ProgressBar(title)
    if not extra.get("disable_tqdm"):
        trainer.add_callback(bar)
    try:
        yield
    finally:
        bar.stop()
