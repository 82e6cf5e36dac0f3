"""The identity of a training: all values that its result depends on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sidelight.checks.answers import ANSWERS, answers_to_rows, other_answers
from sidelight.core.own_code import own_code
from sidelight.core.safe_output import short
from sidelight.fills.base import functions_of
from sidelight.inputs.collate import Collator
from sidelight.rows.content import content_of, value_digest
from sidelight.scorers import Scorer
from sidelight.scorers.base import DECODERS
from sidelight.targets import TargetModel
from sidelight.targets.wrappers import precision_of
from sidelight.training.settings import NEW, RETIRED, ObjectiveConfig, TrainingConfig

#: ``format`` of ``training.json``, and its version, which changes if the same settings give another result.
FORMAT, VERSION = "sidelight.training", 2
#: Under this name a record says how many processes made the training together.
PROCESSES = "processes"
#: Entries on which the answers of the model depend, and which are told by themselves.
ANSWERED_BY = ("target", "model", "preprocessing", "train")
#: Settings that change the course of a training but not its result.
NOT_THE_RESULT = ("resume", "on_collapse", "checkpoints", "report_to")
#: The same among the further arguments of the Trainer (``training.extra``): what it shows and logs, and how rows are brought.
EXTRA_NOT_THE_RESULT = frozenset(
    [
        "disable_tqdm",
        "report_to",
        "run_name",
        "project",
        "trackio_space_id",
        "trackio_bucket_id",
        "trackio_static_space_id",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "logging_dir",
        "logging_first_step",
        "logging_nan_inf_filter",
        "logging_steps",
        "logging_strategy",
        "save_total_limit",
        "skip_memory_metrics",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
    ]
)
#: Entries of a model's configuration about its origin, which do not change its output.
NOT_THE_MODEL = ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "architectures")

_WORDS = {
    "target": "the model's weights",
    "model": "the model's structure or configuration",
    "preprocessing": "the processor (how inputs are prepared)",
    "train": "the rows of train",
    "eval": "the rows of eval",
    "rows": "the number of rows",
    "code": "the code of your own fills or decoders",
    "version": "the version of sidelight's training",
}
_SETTINGS = ("options", "scorer", "objective", "training")


def training_identity(
    scorer: Scorer,
    target: TargetModel,
    train: Any,
    evaluation: Any,
    objective: ObjectiveConfig,
    config: TrainingConfig,
    fingerprint: str | None = None,
) -> dict[str, Any]:
    """Plain values. Two trainings of equal values have the same result.

    ``fingerprint`` is the hash of the target's weights, if it is known already.
    """
    settings = {
        "scorer": scorer.config.to_dict(),
        "objective": asdict(objective),
        "training": {k: v for k, v in asdict(config).items() if k not in NOT_THE_RESULT},
    }
    code = own_parts(target, target.training_fills(objective.fills))
    if code:
        settings["code"] = code
    return identity_of(target, train, evaluation, settings, fingerprint)


def own_parts(target: TargetModel, fills: Iterable[str]) -> dict[str, str]:
    """A digest of the code of each fill, and each decoder beside ``target``, that is a user's own."""
    decoders = {f"decoder {m}": DECODERS[m] for m in target.modalities if m in DECODERS}
    return own_code({**functions_of(fills, target.modalities), **decoders})


def identity_of(
    target: TargetModel,
    train: Any,
    evaluation: Any,
    settings: Mapping[str, Any],
    fingerprint: str | None = None,
) -> dict[str, Any]:
    """The identity of any training that begins with ``target`` as it is now, under ``settings``, as plain values."""
    values = {
        "format": FORMAT,
        "version": VERSION,
        "target": fingerprint or target.fingerprint(),
        "model": value_digest(_structure(target)),
        "preprocessing": value_digest(_preprocessing(target)),
        "options": target.all_options(),
        **settings,
        "train": content_of(train).to_dict(),
        "eval": content_of(evaluation).to_dict(),
    }
    return dict(json.loads(json.dumps(values, default=str)))


def with_answers(
    about: Mapping[str, Any], target: TargetModel, train: Any, collate: Collator
) -> dict[str, Any]:
    """The identity ``about`` of a training, and what ``target`` answers to a few rows of ``train``, which ``collate`` reads."""
    # rows that change from look to look have other answers at each
    answers = answers_to_rows(target, train, collate) if is_known(about) else None
    return {**about, ANSWERS: answers} if answers is not None else dict(about)


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The differences of two trainings in words. An earlier version may have recorded only some of them."""
    said = []
    for name in asked:
        if name in ("format", "train", "eval", "version", ANSWERS) or (name not in found and is_early(found)):
            continue
        if name == "code" and name not in found:  # an earlier version did not look at it
            continue
        if name in _SETTINGS:
            said += _changed_settings(found.get(name) or {}, asked[name], is_early(found))
        elif found.get(name) != asked[name]:
            said.append(_WORDS[name])
    return said + _changed_answers(found, asked) + _changed_rows(found, asked)


def changed_processes(found: Mapping[str, Any], now: int) -> list[str]:
    """What is different if an unfinished training goes on with ``now`` processes. Steps are counted, and each process reads
    a batch of its own in each step, so the rest would be too long or too short. An earlier version kept no record of it.
    """
    there = found.get(PROCESSES, now)
    if there == now:
        return []
    return [f"the number of processes ({there} there, {now} now; with {there} it goes on)"]


def is_early(found: Mapping[str, Any]) -> bool:
    """Whether ``found`` is of the first version, which knew the number of rows and not their content."""
    return "format" not in found and {"target", "scorer", "objective", "training", "rows"} <= set(found)


def is_known(found: Mapping[str, Any]) -> bool:
    """Whether the content of all rows is known, so that equal values mean the same training."""
    parts = [found.get(name) or {} for name in ("train", "eval")]
    return not is_early(found) and all(p.get("digest") is not None for p in parts)


def _changed_settings(found: Mapping[str, Any], asked: Mapping[str, Any], early: bool) -> list[str]:
    said = []
    found, asked = _of_the_result(found), _of_the_result(asked)
    for name in dict.fromkeys([*found, *asked]):
        there, now = found.get(name), asked.get(name)
        if name in RETIRED and there == RETIRED[name]:
            continue
        if name not in found and name in NEW and now == NEW[name]:
            continue
        new = early and (name not in found or name not in asked)  # a setting of one of the versions only
        if there != now and not new:
            said.append(f"{name} ({_short(there)} there, {_short(now)} now)")
    return said


def _of_the_result(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` without further arguments of the Trainer on which no weight depends. Records hold them all."""
    extra = settings.get("extra")
    if not isinstance(extra, Mapping):
        return dict(settings)
    return {**settings, "extra": {k: v for k, v in extra.items() if k not in EXTRA_NOT_THE_RESULT}}


def _changed_answers(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Answers of another model, or to other rows, say nothing more."""
    if any(found.get(k) != asked.get(k) for k in ANSWERED_BY):
        return []
    away = other_answers(found.get(ANSWERS), asked.get(ANSWERS))
    return [] if away is None else [away]


def _changed_rows(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    if is_early(found):
        counts = [asked[name]["rows"] for name in ("train", "eval")]
        return [] if found["rows"] == counts else [f"{_WORDS['rows']} ({found['rows']} there, {counts} now)"]
    said = [_WORDS["version"]] if found.get("version") != asked["version"] else []
    for name in ("train", "eval"):
        there, now = found.get(name) or {}, asked[name]
        if there.get("rows") != now["rows"]:
            said.append(f"{_WORDS[name]} ({there.get('rows')} there, {now['rows']} now)")
        elif there != now:
            said.append(f"{_WORDS[name]} (as many, but other content or another order)")
    return said


def _short(value: Any) -> str:
    return short(json.dumps(value, default=str), 60)


def _structure(target: TargetModel) -> Any:
    """A model without its weights: its modules as printed, and its configuration. Saving and loading change nothing in it."""
    config: Any = getattr(target.model, "config", None)
    values = config.to_dict() if hasattr(config, "to_dict") else {}
    told = {k: v for k, v in values.items() if k not in NOT_THE_MODEL}
    # addresses of objects in a module's description differ from process to process
    printed = re.sub(r" at 0x[0-9a-f]+", "", repr(target.model))
    # a part that was taken out is printed until the model is loaded again
    printed = re.sub(r"\n *\(\w+\): None(?=\n)", "", printed)
    return [
        target.family,
        printed,
        _typed(json.loads(json.dumps(told, default=str)), precision_of(target.model)),
    ]


def _typed(config: Any, precision: str) -> Any:
    """``config`` with the type of the weights where it names none, as in that of a model that was never loaded."""
    if not isinstance(config, Mapping):
        return config
    unnamed = {k: precision for k in ("dtype", "torch_dtype") if k in config and config[k] is None}
    return {k: _typed(v, precision) for k, v in config.items()} | unnamed


def _preprocessing(target: TargetModel) -> Any:
    """The state of the target's processor, with the whole vocabulary and settings of tokenizers."""
    state = _without_places(json.loads(json.dumps(target.reader.state(), default=str)))
    tokenizer = getattr(target.reader, "tokenizer", None)
    # twice, as in the records of earlier versions, which trainings go on from
    return [state, [] if tokenizer is None else [_tokenizer(tokenizer)] * 2]


def _without_places(state: Any) -> Any:
    """``state`` without the names and folders that parts came from, which do not change their output."""
    if not isinstance(state, dict):
        return state
    places = ("tokenizer", "name_or_path")
    return {k: _without_places(v) for k, v in state.items() if not (k in places and isinstance(v, str))}


def _tokenizer(tokenizer: Any) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        own = json.loads(backend.to_str())
        # padding and truncation are set anew by every call
        vocabulary: Any = {k: v for k, v in own.items() if k not in ("padding", "truncation")}
    else:
        vocabulary = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    settings = (
        "model_max_length",
        "padding_side",
        "truncation_side",
        "model_input_names",
        "special_tokens_map",
    )
    return [
        type(tokenizer).__name__,
        value_digest(json.dumps(vocabulary, sort_keys=True, default=str)),
        {name: str(getattr(tokenizer, name, None)) for name in settings},
    ]
