"""``sidelight fit``: train scorers, and first the classifier if the configuration has a training for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidelight.cli.common import SetOption, say
from sidelight.cli.stopping import resumes
from sidelight.core.quiet import quiet_libraries

NAME = "fit"


def run(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML configuration, as in configs/.")],
    out: Annotated[Path | None, typer.Option(help="Run folder (default: runs/<name>).")] = None,
    set_: SetOption = None,
) -> None:
    """Train the scorers of CONFIG, and first its classifier if CONFIG says so.

    The result is a run folder. If the command is killed, call it again,
    and it continues. Several GPUs share the work with:
    accelerate launch -m sidelight.cli fit CONFIG
    """
    quiet_libraries()
    resumes()
    from sidelight.core.locks import hold
    from sidelight.lab.config.files import load_config
    from sidelight.lab.evaluation.preflight import check_run
    from sidelight.lab.runs.folder import folder_name
    from sidelight.lab.runs.run import Run

    settings = load_config(config, set_ or [])
    folder = out or Path("runs") / folder_name(settings.name, config)
    check_run(settings, folder)  # a bad evaluation is refused before the training
    with hold(folder, NAME):  # the settings of a run are not changed while it works
        current = Run.create(folder, settings)
        facts = current.fit()
    target = facts["target"]
    say(f"target: {target['name']}, accuracy {target['accuracy']:.4f} on {target['accuracy_n']} test samples")
    for name, scorer in facts["scorers"].items():
        kind, _, seed = name.rpartition("-")
        say(
            f"scorer{f' ({kind})' if kind else ''}, seed {seed}: {scorer['parameters']:,} parameters, validation objective "
            f"{scorer['eval_loss']:.4f}, mean score {scorer['eval_mean_score']:.3f}, "
            f"{scorer['train_runtime']:.0f} s{_cost(scorer)}"
        )
    say(f"run: {current.folder}   next: sidelight evaluate {current.folder}")


def _cost(scorer: dict[str, float]) -> str:
    """What a training cost, or nothing if that says little, or if an earlier version made it."""
    from sidelight.training.cost import LEAST_EPOCH

    epochs = scorer.get("train_cost", 0.0)
    if not epochs or scorer["train_runtime"] / epochs < LEAST_EPOCH:
        return ""
    return f", the cost of {epochs:.2g} epochs of fine-tuning"
