"""A Hugging Face Trainer for :class:`sidelight.training.ScorerObjective`.

Apart from :mod:`sidelight.training` because importing transformers' Trainer takes seconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from sidelight.training import TrainingConfig, append_csv, check_collapse, steps_per_epoch


class ScorerTrainer(Trainer):
    """Trainer whose model returns its own loss, and which logs every term of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self._sums: dict[str, float] = {}
        self._batches = 0

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        outputs = model(**inputs)
        self._collect(outputs)
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
            outputs = model(**inputs)
        self._collect(outputs)
        return outputs["loss"].detach().mean(), None, None

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        held, self._sums, self._batches = (self._sums, self._batches), {}, 0
        output = super().evaluation_loop(*args, **kwargs)
        prefix = kwargs.get("metric_key_prefix", "eval")
        output.metrics.update({f"{prefix}_{k}": v for k, v in self._means().items()})
        self._sums, self._batches = held
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs = {**logs, **self._means()}
            self._sums, self._batches = {}, 0
        super().log(logs, *args, **kwargs)

    def _collect(self, outputs: dict[str, Tensor]) -> None:
        for name, value in outputs.items():
            if name != "loss":
                self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self._batches += 1

    def _means(self) -> dict[str, float]:
        means = {k: v / max(self._batches, 1) for k, v in self._sums.items()}
        if not means or self.args.world_size == 1:
            return means
        totals = torch.tensor([*means.values()], device=self.args.device)
        gathered = self.accelerator.gather(totals.unsqueeze(0)).mean(0)
        return dict(zip(means, gathered.tolist(), strict=True))


class CsvLog(TrainerCallback):
    """Every logged row as a line of ``log.csv``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            append_csv(self.path, {"step": state.global_step, **logs})


class CollapseGuard(TrainerCallback):
    """Stops a training whose validation maps carry no information."""

    def __init__(self, action: str) -> None:
        self.action = action

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        check_collapse(metrics or {}, self.action)


def build_trainer(
    module: nn.Module, collator: Any, train: Any, evaluation: Any, output_dir: Path, config: TrainingConfig
) -> ScorerTrainer:
    """A Trainer set up for one scorer; ``config.extra`` overrides any ``TrainingArguments``."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    per_epoch = steps_per_epoch(len(train), config, world_size)
    every = max(1, per_epoch // config.evals_per_epoch)
    set_seed(config.seed)
    output_dir.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "output_dir": str(output_dir),
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": config.batch_size,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_steps": int(config.warmup_ratio * per_epoch * config.epochs),
        "max_grad_norm": config.max_grad_norm,
        "gradient_accumulation_steps": config.gradient_accumulation,
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
        "logging_steps": max(1, every // 4),
        "save_total_limit": config.checkpoints,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "seed": config.seed,
        "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "report_to": [],
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "dataloader_pin_memory": torch.cuda.is_available(),
        "optim": "adamw_torch",
    }
    arguments.update(config.extra)
    callbacks: list[TrainerCallback] = [CsvLog(output_dir / "log.csv"), CollapseGuard(config.on_collapse)]
    if config.patience:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=config.patience))
    args = TrainingArguments(**arguments)
    module.target.model.to(args.device)  # type: ignore[union-attr]
    return ScorerTrainer(
        model=module,
        args=args,
        data_collator=collator,
        train_dataset=train,
        eval_dataset=evaluation,
        callbacks=callbacks,
    )
