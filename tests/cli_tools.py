"""Running the command line in this process, and a configuration that takes seconds."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import yaml

TARGET: dict[str, Any] = {
    "architecture": {
        "model_type": "resnet",
        "num_channels": 1,
        "embedding_size": 4,
        "hidden_sizes": [4, 8],
        "depths": [1, 1],
        "layer_type": "basic",
    },
    "transform": {"size": [40, 40], "mode": "L", "mean": [0.0], "std": [1.0]},
    "training": {"epochs": 1, "batch_size": 32, "learning_rate": 0.003},
}
MICRO: dict[str, Any] = {
    "name": "micro",
    "seeds": [0, 1],
    "data": {"name": "digits", "train": 64, "validation": 16, "test": 12},
    "target": TARGET,
    "scorer": {"channels": [8, 4]},
    "training": {"epochs": 1, "batch_size": 16, "evals_per_epoch": 1, "on_collapse": "warn"},
    "evaluation": {
        "count": 12,
        "curve_count": 8,
        "batch_size": 4,
        "fills": ["zero", "noise"],
        "granularities": ["pixel"],
        "steps": 3,
        "rivals": ["saliency", "random"],
    },
    "report": {"samples": 2, "failures": 1, "methods": ["saliency"], "speed": False},
}


class Result(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def sidelight(*words: object) -> Result:
    """``sidelight word word ...`` as a person runs it."""
    from sidelight.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["sidelight", *map(str, words)]),
        mock.patch.dict("os.environ", {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as leave:
            code = leave.code
    return Result(int(code or 0), out.getvalue(), err.getvalue())


def write_config(folder: Path, values: dict[str, Any] | None = None, **sections: Any) -> Path:
    """A YAML file with ``values`` (default: :data:`MICRO`), sections replaced."""
    path = folder / "config-given.yaml"
    path.write_text(yaml.safe_dump({**(MICRO if values is None else values), **sections}))
    return path
