"""A Hugging Face Trainer for :class:`sidelight.training.loss.ScorerObjective`.

Apart from :mod:`sidelight.training.loop` because importing transformers' Trainer takes seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, set_seed

from sidelight.core.folders import open_to_readers
from sidelight.core.processes import process_count
from sidelight.errors import CheckpointError, SidelightError, first_line
from sidelight.training.arguments import extra_named, scorer_arguments
from sidelight.training.diagnostics import check_collapse
from sidelight.training.folder import append_csv, drop_checkpoints, mark_checkpoint, read_csv
from sidelight.training.lengths import LengthSampler, row_lengths
from sidelight.training.sample_maps import SAMPLES, SampleMaps
from sidelight.training.settings import TrainingConfig, steps_per_epoch

log = logging.getLogger(__name__)

#: Steps that are timed to tell how long a training takes, and the seconds from which on people are warned.
TIMED_STEPS, LONG = 10, 2 * 86_400


class BaseTrainer(Trainer):
    """Trainer that batches rows of like length, if lengths differ, and never touches checkpoints of others.

    Attributes:
        lengths: of the training rows. ``None`` stands for the plain shuffle.
    """

    lengths: Sequence[int] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the Trainer takes `**inputs` for a loss that is a sum, and would not average it over batches and processes
        self.model_accepts_loss_kwargs = False
        # the Trainer would remove old checkpoints by their names, also those of others, so this class removes them
        self.kept_checkpoints, self.args.save_total_limit = self.args.save_total_limit, None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if self.lengths is None:
            return super()._get_train_sampler(train_dataset)
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return LengthSampler(self.lengths, step, seed)

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        loader = super()._get_dataloader(*args, **kwargs)
        if self.args.dataloader_persistent_workers:
            # A loader draws the seed of its workers when they start: here once, but again after a kill. From torch's own
            # generator, that draw would move all that the training draws after it.
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            getattr(loader, "base_dataloader", loader).generator = torch.Generator().manual_seed(seed)
        return loader

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        try:
            if self.args.should_save:
                mark_checkpoint(checkpoint)
            super()._save_checkpoint(model, trial)
        except SidelightError:
            raise
        except Exception as error:  # torch and safetensors have errors of their own for a full disk
            raise CheckpointError(
                f"could not write {checkpoint}: {error}. Checkpoints written before are whole. See to the space and the "
                "permissions of the folder and call again, and the training goes on from the last one."
            ) from error
        if self.args.should_save:
            open_to_readers(checkpoint)
            drop_checkpoints(
                checkpoint.parent, self.kept_checkpoints or None, self.state.best_model_checkpoint
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with _readable(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with _readable(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with _readable(checkpoint):
            super()._load_rng_state(checkpoint)


@contextmanager
def _readable(checkpoint: str | None) -> Iterator[None]:
    """Say which checkpoint is damaged, and what to do. torch and safetensors have errors of their own for it.

    Raises:
        CheckpointError: see above.
    """
    try:
        yield
    except (SidelightError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise CheckpointError(
            f"could not go on from {checkpoint}, which is damaged ({first_line(error)}). Remove this folder and call again: the "
            "training goes on from the checkpoint before it, if there is one, or starts over."
        ) from error


class ScorerTrainer(BaseTrainer):
    """Trainer whose model returns its own loss, and which logs every term of it, averaged over samples."""

    csv_log: CsvLog

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sums: dict[str, Tensor] = {}
        self._samples = 0

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        outputs = model(**inputs)
        self._collect(outputs, len(next(iter(inputs.values()))))
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor, None, None]:
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            kept = self._not_repeated(inputs)
            outputs = model(**{name: values[: kept or None] for name, values in inputs.items()})
        self._collect(outputs, kept)
        return outputs["loss"].detach().mean(), None, None

    def _not_repeated(self, inputs: dict[str, Tensor]) -> int:
        """How many rows of a batch of a validation were not counted before. They come first.

        Several processes get whole batches each, so the last ones are filled up with rows from the beginning.
        """
        last, size = self.accelerator.gradient_state, len(next(iter(inputs.values())))
        if self.args.world_size == 1 or not last.end_of_dataloader or last.remainder <= 0:
            return size
        return min(max(int(last.remainder) - self.args.process_index * size, 0), size)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        held, self._sums, self._samples = (self._sums, self._samples), {}, 0
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        output.metrics.update({f"{prefix}_{k}": v for k, v in self._means().items()})
        self._sums, self._samples = held
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs = {**logs, **self._means()}
            self._sums, self._samples = {}, 0
        super().log(logs, *args, **kwargs)

    def _collect(self, outputs: dict[str, Tensor], size: int) -> None:
        # Sums stay tensors until they are logged: a GPU need not wait for every step.
        for name, value in outputs.items():
            if name != "loss":
                self._sums[name] = self._sums.get(name, torch.zeros(())) + size * value.detach().float()
        self._samples += size

    def _means(self) -> dict[str, float]:
        if not self._sums:
            return {}
        device = self.args.device
        totals = torch.stack([v.to(device) for v in self._sums.values()])
        totals = torch.cat([totals, totals.new_tensor([float(self._samples)])])
        if self.args.world_size > 1:
            totals = self.accelerator.gather(totals.unsqueeze(0)).sum(0)
        *sums, count = totals.tolist()
        return {k: v / max(count, 1.0) for k, v in zip(self._sums, sums, strict=True)}


class CsvLog(TrainerCallback):
    """Every logged row as a line of ``log.csv``, with the seconds of training behind it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        earlier = [float(r["seconds"]) for r in read_csv(path) if r.get("seconds")]
        self._before, self._start = max(earlier, default=0.0), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Training time so far, with that of a training that was killed."""
        return self._before + time.perf_counter() - self._start

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            append_csv(self.path, {"step": state.global_step, "seconds": round(self.seconds, 3), **logs})


class CollapseGuard(TrainerCallback):
    """Stops a training whose validation maps are constant."""

    def __init__(self, action: str) -> None:
        self.action = action

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        check_collapse(metrics or {}, self.action)


class LongTraining(TrainerCallback):
    """Says how long a training will take, if that is more than :data:`LONG`. The time of some steps tells it."""

    def __init__(self) -> None:
        self._first, self._begun = -1, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._first < 0:  # the first step is slower
            self._first, self._begun = state.global_step, time.perf_counter()
        if state.global_step != self._first + TIMED_STEPS or not state.is_world_process_zero:
            return
        left = state.max_steps - state.global_step
        seconds = left * (time.perf_counter() - self._begun) / TIMED_STEPS
        if seconds > LONG:
            log.warning(
                "this training has %s steps and takes about %s days, unless it stops early. Stop it and give fewer epochs, "
                "or budget='thorough', which takes an hour",
                f"{state.max_steps:,}",
                f"{seconds / 86_400:,.0f}",
            )


class SpreadValidations(TrainerCallback):
    """Leaves out a validation if less than half as many steps are left as lie between two. There is one at the end."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if 0 < state.max_steps - state.global_step < args.eval_steps / 2:
            control.should_evaluate = control.should_save = False


def build_trainer(
    module: nn.Module, collator: Any, train: Any, evaluation: Any, output_dir: Path, config: TrainingConfig
) -> ScorerTrainer:
    """A Trainer for one scorer. ``config.extra`` adds to our ``TrainingArguments``, or takes their place."""
    world_size = process_count()
    per_epoch = steps_per_epoch(len(train), config, world_size)
    set_seed(config.seed)
    args = scorer_arguments(output_dir, config, per_epoch)
    csv_log = CsvLog(output_dir / "log.csv")
    callbacks: list[TrainerCallback] = [csv_log, CollapseGuard(config.on_collapse), SpreadValidations()]
    callbacks.append(LongTraining())
    if config.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.patience))
    module.target.model.to(args.device)  # type: ignore[union-attr]
    if args.n_gpu > 1:  # DataParallel would leave the target on one GPU. To use several, launch with torchrun
        args._n_gpu = 1
    with extra_named(config.extra):
        trainer = ScorerTrainer(
            model=module,
            args=args,
            data_collator=collator,
            train_dataset=train,
            eval_dataset=evaluation,
            callbacks=callbacks,
        )
    trainer.csv_log = csv_log
    if args.report_to:
        rows = [evaluation[number] for number in range(min(SAMPLES, len(evaluation)))]
        trainer.add_callback(SampleMaps(trainer, module.target, module.scorer, collator.read(rows)))  # type: ignore[arg-type]
    trainer.lengths = row_lengths(module.target, train, collator)  # type: ignore[arg-type]
    if world_size > 1:  # each process draws fills of its own, although the Trainer gave all of them one seed
        torch.manual_seed(config.seed + args.process_index)
    return trainer
