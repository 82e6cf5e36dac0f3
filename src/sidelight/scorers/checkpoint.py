"""A scorer on disk: ``config.json``, ``scorer.safetensors`` and, for texts, the tokenizer. The target's weights are not kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from sidelight.checks.quality import Quality
from sidelight.core.files import path_text, read_json, write_json
from sidelight.core.folders import replace_folder
from sidelight.core.ownership import MARK, may_replace, overwriting
from sidelight.core.places import known_place
from sidelight.core.pointers import told_of_pointer
from sidelight.core.refusals import require_readable
from sidelight.errors import (
    CheckpointError,
    ConfigError,
    SidelightError,
    TargetMismatchError,
    UnsupportedTargetError,
    first_line,
)
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.base import spec_from_dict, spec_to_dict
from sidelight.scorers.kept_processor import folder_names, kept_tokenizer, with_tokenizer, without_paths
from sidelight.scorers.later import later_entries, with_later
from sidelight.scorers.own_parts import require_own_parts
from sidelight.scorers.places import require_scorer, scorer_folder
from sidelight.scorers.settled import settled
from sidelight.scorers.sizes import check_sizes
from sidelight.targets import TargetModel, as_target
from sidelight.targets.families import TARGETS
from sidelight.targets.weights import hash_of, shapes_hash

log = logging.getLogger(__name__)

CONFIG = "config.json"
WEIGHTS = "scorer.safetensors"
PROCESSOR = "processor.json"
README = "README.md"
FORMAT = "sidelight.scorer"
#: Largest number of bytes in the configuration of a scorer.
LARGEST_CONFIG = 16 * 2**20


@dataclass(frozen=True)
class SavedScorer:
    """A scorer that was read from disk and has no target yet.

    Attributes:
        scorer: the network.
        target: what is remembered of the classifier.
        kept: the file with the tokenizer that was kept beside the scorer. It is read only if no other is given.
    """

    scorer: Scorer
    target: Mapping[str, Any]
    kept: Path

    @property
    def fingerprint(self) -> str:
        """Hash of the target's weights in the training."""
        return str(self.target["fingerprint"])

    @property
    def target_name(self) -> str:
        """Hub id or folder of the target."""
        return str(self.target["name"])

    @property
    def place(self) -> str | None:
        """The folder or hub id of the target. ``None`` if it had none, or if the folder is gone."""
        name, local = self.target.get("place"), self.target.get("local")
        found = known_place(str(name), local) if name is not None else None
        # earlier versions kept the name alone, and a folder may be named relative to the working directory
        return found or known_place(self.target_name, local)

    def open_target(
        self, model: nn.Module | TargetModel | str | os.PathLike[str] | None, processor: Any
    ) -> TargetModel:
        """The given model, or the remembered one, behind the target protocol.

        Args:
            model: the classifier, its folder or hub id, or ``None`` for the remembered one.
            processor: default: the one kept beside the scorer, then the one beside the model.

        Raises:
            CheckpointError: no model was given and the remembered one cannot be loaded.
            TargetMismatchError: the given model is built otherwise.
        """
        if isinstance(model, TargetModel):
            model.verdict.remember(self.target["options"])
            return model
        family, place = TARGETS[self.target["family"]], self.place
        if model is None or isinstance(model, (str, os.PathLike)):
            place = place if model is None else known_place(path_text(model))
            model = self._load_model(family, model)
        if processor is None:
            processor = self._load_processor(family, place)
        return self._wrap(model, processor)

    def _wrap(self, model: nn.Module, processor: Any) -> TargetModel:
        options = self.target["options"]
        try:
            return as_target(model, processor, family=self.target["family"], **options)
        except ConfigError as error:
            reason: Exception = error
        except UnsupportedTargetError as error:
            if not isinstance(model, nn.Module) or shapes_hash(model) == self.target.get("shapes"):
                raise
            raise TargetMismatchError(
                f"this scorer was trained beside {self.target_name!r}, and {type(model).__name__} is another classifier: give "
                f"the original one, or fit a new scorer. ({error})"
            ) from error
        except SidelightError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            reason = error
        raise CheckpointError(
            f"the options that the scorer remembers of its classifier ({options!r}) do not fit: {reason}. Its {CONFIG} "
            "is damaged, or the classifier is another one."
        ) from reason

    def _load_model(self, family: type[TargetModel], given: str | os.PathLike[str] | None) -> nn.Module:
        own = None if given is None else path_text(given, "a classifier, its folder or its hub id")
        place = self.place if own is None else known_place(own)
        if place is None:
            named = self.target.get("place") or self.target_name if own is None else own
            raise CheckpointError(
                f"the scorer's classifier {named!r} is no folder on this machine and no hub id; "
                "pass the classifier itself or its folder: from_pretrained(folder, model=...), on the command line --model."
            )
        try:
            return family.load_model(place, self.target.get("revision") if given is None else None)
        except CheckpointError:
            raise
        except Exception as error:
            reason = first_line(error, None)
            raise CheckpointError(
                f"the scorer's target {place!r} cannot be loaded ({reason}); "
                "pass the classifier itself: from_pretrained(folder, model=...), on the command line --model."
            ) from error

    def _load_processor(self, family: type[TargetModel], place: str | None) -> Any:
        state = with_tokenizer(self.target["processor"], self.kept)
        revision = self.target.get("revision") if place == self.place else None
        try:
            return family.reader_type.load(place or "", state, revision)
        except (SidelightError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the remembered preprocessing of {self.target_name!r} cannot be made again ({error}); "
                "pass processor=..."
            ) from error


def save_scorer(
    folder: Path,
    scorer: Scorer,
    target: TargetModel,
    overwrite: bool = False,
    weights: Mapping[str, Any] | None = None,
    beside: Mapping[str, bytes] = MappingProxyType({}),
    public: bool = False,
) -> Path:
    """Write ``folder`` at once. An older checkpoint stays until the new one is complete.

    Files of others in the folder stay. If they have the names of ours, they are replaced with ``overwrite`` only.

    Args:
        folder: made if it is missing.
        overwrite: replace files of others that have the names of ours.
        weights: record of the target's weights in the training. Default: of those of now.
        beside: a model card and its pictures by name. They are left out if the folder holds a ``README.md`` of others,
            which is replaced in no case.
        public: leave out the path of the target on this machine, which tells nothing elsewhere.

    Raises:
        CheckpointError: the disk refused.
        ForeignFileError: ``folder`` is a file or link, or holds a file of others with the name of one of ours.
    """
    from safetensors.torch import save_file

    state = {k: v.detach().cpu().contiguous() for k, v in scorer.state_dict().items()}
    tokenizer, identity = getattr(target.reader, "tokenizer", None), target.identity(weights)
    kept = None if tokenizer is None else kept_tokenizer(tokenizer, public, folder_names(identity))
    config = _config_of(scorer, identity, hash_of(state), public)
    advice = f"Save into a folder of its own, e.g. {folder / 'scorer'}, or replace this one file with overwrite=True."
    # the configuration comes last: if it is there, so are the weights
    with (
        overwriting(overwrite),
        replace_folder(folder, last=[CONFIG], listed=False, advice=advice) as tmp,
    ):
        try:
            save_file(state, str(tmp / WEIGHTS), metadata={MARK: FORMAT})
        except SidelightError:
            raise
        except Exception as error:  # safetensors has an error of its own for a full disk
            raise OSError(str(error)) from error
        if kept is not None:
            write_json(tmp / PROCESSOR, kept)
        _write_beside(tmp, beside if _is_free(folder / README) else {})
        write_json(tmp / CONFIG, config)
    return folder


def _config_of(
    scorer: Scorer, identity: Mapping[str, Any], weights_hash: str, public: bool
) -> dict[str, Any]:
    from sidelight.core.version import __version__

    target = without_paths(identity) if public else dict(identity)
    config = {
        "format": FORMAT,
        "sidelight_version": __version__,
        "scorer": scorer.config.to_dict(),
        "spec": spec_to_dict(scorer.spec),
        "target": target,
        **({"training": scorer.facts} if scorer.facts else {}),
        **({"quality": scorer.quality.to_dict()} if scorer.quality else {}),
        "weights_hash": weights_hash,
    }
    return with_later(config, scorer.later)


def _is_free(readme: Path) -> bool:
    """Whether a card may be written. Not even ``overwrite`` replaces a text that a person wrote."""
    with overwriting(False, anew=True):
        free = may_replace(readme)
    if not free:
        log.info("%s is not ours and stays as it is: no model card is written", readme)
    return free


def _write_beside(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def load_scorer(
    source: str | os.PathLike[str], revision: str | None = None, token: str | bool | None = None
) -> SavedScorer:
    """Read a scorer from a folder or a hub id.

    Raises:
        CheckpointError: a file is missing, truncated, corrupt, or of another kind.
    """
    files = [CONFIG, WEIGHTS, PROCESSOR]
    folder = scorer_folder(source, revision, token, files)
    return settled(folder, files, lambda: _read(folder))


def _read(folder: Path) -> SavedScorer:
    require_scorer(folder, CONFIG)
    config = _read_config(folder / CONFIG)
    weights = folder / WEIGHTS
    try:
        target = {k: config["target"][k] for k in ("family", "name", "fingerprint", "processor", "options")}
        require_own_parts(target["family"], config["spec"]["states"])
        if not isinstance(target["processor"], Mapping):
            raise TypeError("its processor is no mapping")
        scorer = build_scorer(config["scorer"], config["spec"], weights)
    except CheckpointError:
        raise
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        RuntimeError,
        SidelightError,
    ) as error:
        raise CheckpointError(f"{folder / CONFIG} is incomplete or damaged ({error!r}).") from error
    _load_weights(scorer, weights, config.get("weights_hash"))
    facts = config.get("training")
    scorer.facts = dict(facts) if isinstance(facts, Mapping) else {}
    scorer.later = later_entries(config)
    known = config.get("quality")
    scorer.quality = Quality.from_dict(known) if isinstance(known, Mapping) else None
    return SavedScorer(scorer, {**config["target"], **target}, folder / PROCESSOR)


def _read_config(path: Path) -> dict[str, Any]:
    if path.is_file() and path.stat().st_size > LARGEST_CONFIG:
        raise CheckpointError(
            f"{path} has {path.stat().st_size / 2**20:.0f} MB, which is too large for the configuration of a scorer."
        )
    config = read_json(path, remedy="Copy it there again, or fit anew.")
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        if str(found).startswith(f"{FORMAT}."):
            raise CheckpointError(
                f"{path} was saved by a newer sidelight (format {found!r}; this one reads {FORMAT!r}): update sidelight."
            )
        what = f"is not a sidelight scorer (format {found!r})"
        if isinstance(config, dict) and "model_type" in config:
            what = "belongs to a model and is not a sidelight scorer"
        raise CheckpointError(f"{path} {what}. Give the folder that save_pretrained of an explainer wrote.")
    return config


def build_scorer(settings: Mapping[str, Any], spec: Mapping[str, Any], weights: Path) -> Scorer:
    """A scorer as a configuration describes it, its sizes compared with the weights before memory is taken.

    Raises:
        CheckpointError: the weights are missing or damaged, or of another size than the configuration says.
    """
    import torch

    shapes = _shapes(weights)
    known = {k: v for k, v in settings.items() if k in ScorerConfig.__dataclass_fields__}
    config = ScorerConfig(**known)
    check_sizes([asdict(config), spec], shapes, weights, CONFIG)
    with torch.device("meta"):  # takes no memory
        declared = {k: tuple(v.shape) for k, v in Scorer(spec_from_dict(spec), config).state_dict().items()}
    wrong = sorted(k for k in declared.keys() | shapes.keys() if declared.get(k) != shapes.get(k))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{weights} does not fit its {CONFIG}: {name} has shape {shapes.get(name, 'none')}, and should have "
            f"{declared.get(name, 'none')}. One of the two is corrupt or of another scorer; copy both again."
        )
    return Scorer(spec_from_dict(spec), config).float()  # also if the default type of the process is another


def _shapes(weights: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import safe_open

    require_readable(weights)
    try:
        with safe_open(str(weights), framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CheckpointError(f"no {WEIGHTS} in {weights.parent}.") from error
    except Exception as error:
        raise _corrupt(weights, error) from error


def _corrupt(weights: Path, error: Exception) -> CheckpointError:
    if told := told_of_pointer(weights, "weights"):
        return CheckpointError(told)
    return CheckpointError(f"{weights} is corrupt or truncated ({error}); copy it again or fit anew.")


def _load_weights(scorer: Scorer, weights: Path, expected: str | None) -> None:
    """Read the weights. Earlier versions kept no hash of them.

    Raises:
        CheckpointError: they are damaged, changed since, or not finite.
    """
    from safetensors.torch import load_file

    try:
        state = load_file(str(weights))
        scorer.load_state_dict(state)
    except Exception as error:
        raise _corrupt(weights, error) from error
    broken = sorted(k for k, v in state.items() if not bool(v.isfinite().all()))
    if broken:
        raise CheckpointError(
            f"{weights} holds NaN or infinite values in {broken[0]}: its maps would mean nothing. Fit anew, or copy it "
            "again from where it was saved."
        )
    if expected is not None and hash_of(state) != expected:
        raise CheckpointError(
            f"{weights} is not what was saved: its hash is {hash_of(state)}, and {CONFIG} says {expected}. It is damaged, "
            "or belongs to another scorer; copy both again."
        )
