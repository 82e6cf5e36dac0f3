"""Names that users write: nothing of these lists may go without a notice in CHANGELOG.md."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys
import types
from typing import Any

import pydantic
import pytest
import typer

import sidelight
from sidelight import errors
from sidelight.cli.app import app
from sidelight.cli.listing import entries
from sidelight.lab.config.sections import RunConfig

EXPORTED = {
    "ExplainFailure",
    "Explainer",
    "Explanation",
    "ImageTransform",
    "ObjectiveConfig",
    "ScorerConfig",
    "SidelightError",
    "TrainingConfig",
    "__version__",
    "as_quantus",
    "fit",
    "load",
    "pipeline",
    "read_explanations",
}
ERRORS = {
    "BusyFolderError",
    "CheckpointError",
    "CollapseError",
    "ConfigError",
    "ExportError",
    "ForeignFileError",
    "InputError",
    "InputTypeError",
    "MissingPackageError",
    "NotFiniteError",
    "PeerError",
    "SelfCheckError",
    "SidelightError",
    "TargetMismatchError",
    "UnexpectedError",
    "UnknownArgumentError",
    "UnknownNameError",
    "UnsupportedTargetError",
}
#: what users may import from a room
ROOMS = {
    "sidelight.fills": {"FILLS", "Fill", "FillContext"},
    "sidelight.targets": {
        "TARGETS",
        "ImageTarget",
        "ImageTextProcessor",
        "ImageTextTarget",
        "TextTarget",
        "as_target",
    },
    "sidelight.scorers": {"ScoreHead", "Scorer", "ScorerConfig"},
    "sidelight.viz": {"RENDERERS", "to_data_uri", "to_pdf", "to_png", "to_svg"},
    "sidelight.serving": {"ServeOptions", "app", "opened"},
    "sidelight.lab.baselines": {"DEFAULT_RIVALS", "RIVALS", "make_rival"},
    "sidelight.lab.metrics": {"METRICS"},
    "sidelight.lab.audit": {"CHECKS"},
}
MEMBERS = {
    "Explainer": {
        *(
            "attribute",
            "demo",
            "explain",
            "explain_stream",
            "export",
            "fit",
            "from_pretrained",
            "live",
            "module",
        ),
        *("read", "save_pretrained", "widget"),
    },
    "Explanation": {
        *(
            "effects",
            "explained",
            "explained_label",
            "from_dict",
            "inputs",
            "label",
            "load",
            "map",
            "meta",
            "method",
            "modalities",
            "plot",
            "prediction",
        ),
        *(
            "probabilities",
            "probability",
            "ranking",
            "save",
            "save_html",
            "scores",
            "target",
            "to_dict",
            "to_html",
        ),
        *("versus", "widget"),
    },
    "ExplainFailure": {"columns", "reason", "row"},
    "ImageTransform": {
        *("channels", "crop", "from_dict", "mean", "mode", "resample", "resize_to", "size", "std", "to_dict"),
        "to_display",
    },
    "ObjectiveConfig": {
        *("binary_weight", "calibration", "coalition_draws", "coalition_focus", "coalition_modalities"),
        *("coalition_unit", "coalition_weight", "complement_weight", "fills", "label", "magnitude_weight"),
        *("other_classes", "preset", "rank_draws", "rank_weight", "solo"),
    },
    "ScorerConfig": {"by_class", "conditioned", "decoder", "relu", "rescale", "sigmoid", "to_dict"},
    "TrainingConfig": {
        *("batch_size", "checkpoints", "epochs", "evals_per_epoch", "extra", "gradient_accumulation"),
        *("learning_rate", "max_grad_norm", "on_collapse", "patience", "resume", "seed", "warmup_ratio"),
        "weight_decay",
    },
}
COMMANDS = {
    "app": {
        *(
            "folders",
            "--examples",
            "--host",
            "--max-bytes",
            "--max-characters",
            "--max-pixels",
            "--model",
            "--open",
        ),
        *("--port", "--stored"),
    },
    "ablate": {"config", "--only", "--out", "--set", "--table-only"},
    "audit": {"folder", "--check", "--json", "--other", "--set"},
    "benchmark": {"configs", "--out", "--set", "--shard"},
    "compare": {
        *("folder", "sample", "--area", "--as-text", "--fill", "--json", "--method", "--model", "--out"),
        "--target",
    },
    "demo": {"--jobs", "--json", "--out", "--overwrite", "--part", "--set"},
    "evaluate": {"folder", "--json", "--maps", "--set", "--shard"},
    "explain": {
        *("folder", "inputs", "--as-text", "--batch-size", "--column", "--csv", "--folder", "--json"),
        *("--jsonl", "--model", "--out", "--parquet", "--strict", "--target", "--versus"),
    },
    "export-maps": {"folder", "--count", "--method", "--out", "--overwrite", "--seed"},
    "export-model": {"folder", "--model", "--out", "--overwrite"},
    "fit": {"config", "--out", "--set"},
    "list": {"--json"},
    "report": {"folder", "--overwrite"},
    "serve": {
        *("folders", "--batch-size", "--host", "--max-bytes", "--max-characters", "--max-pixels", "--model"),
        *("--port", "--queue", "--timeout", "--token-from", "--verify", "--wait"),
    },
    "speed": {"folder", "--batch", "--json", "--model", "--repeats", "--rival", "--threads", "--tokens"},
    "tables": {
        *("folders", "--alpha", "--figures", "--metric", "--out", "--overwrite", "--rank-by", "--thesis"),
    },
}
#: what a configuration may name
REGISTERED = {
    "target family": "image text image+text",
    "rival": "attention_rollout gradient input_x_gradient gradient_shap saliency guided_backprop "
    "integrated_gradients deep_lift deep_lift_shap grad_cam occlusion rise lime kernel_shap random centre "
    "constant input_norm distillation_masks",
    "learned rival": "nemt ra_nem attributive_masking",
    "metric": "complexity sparsity mean_score area entropy average_drop average_drop_relative "
    "flip_share increase_in_confidence deletion_auc insertion_auc sufficiency comprehensiveness srg iou f1 auprc "
    "pointing_game fidelity_plus fidelity_minus single_deletion single_deletion_rank",
    "protocol": "sidelight thesis thesis-later",
    "image fill": "zero black mean blur noise image",
    "text fill": "zero mean mask pad random drop",
    "calibration": "bounded literal reference fixed",
    "check": "parameters retraining encoding stability classes",
    "data set": "digits mnist cifar10 imagenette object_boxes planted_text tweets imdb liar scenes "
    "scene_objects flickr8k hateful_memes snli_ve esnlive nlvr nlvr_objects",
}
#: keys of a run's YAML, by section
CONFIGURATION = {
    "": "ablation audit data evaluation name objective report scorer seeds target training",
    "ablation": "count curve_count fills metrics samples seeds steps variants",
    "audit": "areas classifier count count_wide draws epochs fills labels noise rivals scorer seed steps "
    "top_share train",
    "data": "data_dir name seed test train validation",
    "evaluation": "batch_size count curve_count data few_count few_samples fills forward_batch granularities groups "
    "imported judge metrics protocol rivals seed steps",
    "evaluation.data": "data_dir name seed split",
    "evaluation.judge": "alpha batch_size beta cells draws epochs learning_rate rows seed sizes",
    "evaluation.imported": "name path signed",
    "report": "failures methods samples speed",
    "scorer": "by_class channels conditioned heads layers padding relu rescale sigmoid stride width",
    "target": "architecture convert fusion options pretrained revision tokenizer training transform",
    "target.convert": "classes format weights",
    "target.fusion": "dropout expand freeze heads image layers text width",
    "target.fusion.image": "architecture convert pretrained revision transform warmup",
    "target.fusion.image.warmup": "data training",
    "target.fusion.text": "architecture pretrained revision tokenizer warmup",
}


def test_exported_names() -> None:
    assert set(sidelight.__all__) == EXPORTED
    assert list(sidelight.__all__) == sorted(sidelight.__all__)
    assert set(dir(sidelight)) >= EXPORTED


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_an_exported_name_is_there_and_explained(name: str) -> None:
    found = getattr(sidelight, name)
    assert name == "__version__" or inspect.getdoc(found)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'explainer_of'"):
        _ = sidelight.explainer_of  # type: ignore[attr-defined]


def test_importing_warns_of_nothing_and_brings_no_heavy_library() -> None:
    heavy = ("torch", "transformers", "pandas", "matplotlib", "captum")
    code = f"import sys, sidelight; print([m for m in {heavy} if m in sys.modules], dir(sidelight))"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("[] ")
    assert "'read_explanations'" in run.stdout


def test_errors() -> None:
    own = {n for n, c in vars(errors).items() if isinstance(c, type) and c.__module__ == errors.__name__}
    assert own == ERRORS
    for name in ERRORS:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.SidelightError)
        assert kind.__doc__


@pytest.mark.parametrize("room", ROOMS)
def test_names_of_a_room(room: str) -> None:
    module = importlib.import_module(room)
    assert set(module.__all__) >= ROOMS[room]
    for name in module.__all__:
        found = getattr(module, name)
        if isinstance(found, type | types.FunctionType | types.ModuleType):
            assert inspect.getdoc(found), f"{room}.{name} has no docstring"


@pytest.mark.parametrize("name", MEMBERS)
def test_members_of_an_exported_class(name: str) -> None:
    kind = getattr(sidelight, name)
    fields = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    assert fields | set(dir(kind)) >= MEMBERS[name]
    for member in MEMBERS[name] - fields:
        assert inspect.getdoc(getattr(kind, member)), f"{name}.{member} has no docstring"


def test_commands_and_options() -> None:
    command: Any = typer.main.get_command(app)
    found = {n: {o for p in c.params for o in p.opts} for n, c in command.commands.items()}
    assert set(found) == set(COMMANDS)
    for name, options in COMMANDS.items():
        assert found[name] >= options, f"sidelight {name}"


def test_names_that_a_configuration_may_hold() -> None:
    found: dict[str, set[str]] = {}
    for entry in entries():
        found.setdefault(entry["kind"], set()).add(entry["name"])
    every = set().union(*found.values())
    assert all(set(names.split()) <= found.get(kind, every) for kind, names in REGISTERED.items())


def test_keys_of_a_configuration() -> None:
    for section, keys in CONFIGURATION.items():
        found: Any = RunConfig
        for part in filter(None, section.split(".")):
            found = _section_in(found.model_fields[part].annotation)
        assert set(found.model_fields) >= set(keys.split()), section


def _section_in(annotation: Any) -> Any:
    """The section that a field's type holds, e.g. of `list[Section] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    return next(filter(None, map(_section_in, getattr(annotation, "__args__", ()))), None)
