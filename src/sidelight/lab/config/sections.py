"""A run's configuration: YAML with dotted overrides, validated, unknown keys refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sidelight.core.field_checks import LARGEST_SEED, plain_words
from sidelight.core.registry import nearest
from sidelight.errors import ConfigError
from sidelight.lab.config.classifiers import ClassifierTraining
from sidelight.lab.config.overrides import apply_overrides
from sidelight.training.settings import ObjectiveConfig, TrainingConfig, without_retired

#: values of a configuration, with everything that anchors repeat; the largest shipped one has some hundred
MOST_VALUES = 100_000


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(Section):
    """Which data: ``name`` in ``sidelight list``; counts cut splits down (``None``: all)."""

    name: str
    data_dir: str | None = None
    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class ConvertSection(Section):
    """Weights of another library: ``weights`` is a file, or ``package:path/in/package``."""

    format: Literal["torchvision_mobilenet_v2"]
    weights: str
    classes: list[int] | None = None


class ModelSection(Section):
    """A model: ``pretrained`` (hub id, folder, or ``package:path`` of a Python package) or ``architecture``."""

    pretrained: str | None = None
    revision: str | None = None
    architecture: dict[str, Any] | None = None

    def only(self, *names: str, where: str = "target") -> str:
        """Which one of ``names`` is given; raises :class:`ConfigError` unless it is exactly one."""
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"config {where} needs exactly one of {', '.join(names)}; got {', '.join(given) or 'none'}."
            )
        return given[0]


class WarmupSection(Section):
    """What an encoder learns before it is joined to another: the classes of a data set of its own modality."""

    data: DataSection
    training: ClassifierTraining = Field(default_factory=ClassifierTraining)


class FusionTextSection(ModelSection):
    """Text encoder of a fusion; ``tokenizer`` as in :class:`TargetSection`."""

    tokenizer: str | None = None
    warmup: WarmupSection | None = None


class FusionImageSection(ModelSection):
    """Image encoder of a fusion; ``convert`` and ``transform`` as in :class:`TargetSection`."""

    convert: ConvertSection | None = None
    transform: dict[str, Any] | None = None
    warmup: WarmupSection | None = None


class FusionSection(Section):
    """A classifier of image-text pairs: two encoders and a small transformer over their tokens.

    Everything but ``text`` and ``image`` is an option of
    :class:`sidelight.models.fusion.FusionConfig`; ``freeze`` lists the encoders that are not trained.
    """

    text: FusionTextSection
    image: FusionImageSection
    width: int = 128
    layers: int = 2
    heads: int = 4
    expand: int = 2
    dropout: float = 0.1
    freeze: list[Literal["text", "image"]] = Field(default_factory=list)


class TargetSection(ModelSection):
    """The classifier: ``pretrained``, ``architecture`` (trained here), ``convert`` or ``fusion`` (image and text).

    ``transform`` (image) and ``tokenizer`` (text: like ``pretrained``, or a name in ``TOKENIZERS``)
    give the preprocessing where the model brings none; ``training`` trains or fine-tunes the
    classifier before the scorer, with a head for the data set's classes.
    """

    convert: ConvertSection | None = None
    fusion: FusionSection | None = None
    transform: dict[str, Any] | None = None
    tokenizer: str | None = None
    training: ClassifierTraining | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ScorerSection(Section):
    """Head steps, and the decoder: ``channels``, ``stride``, ``padding`` (image); ``width``, ``layers``, ``heads`` (text)."""

    relu: bool = True
    sigmoid: bool = True
    rescale: bool = True
    conditioned: bool = True
    channels: list[int] | None = None
    stride: int | None = None
    padding: str | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None

    def decoder_options(self, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Options of each modality's decoder, those left unset dropped."""
        owned = {"image": ("channels", "stride", "padding"), "text": ("width", "layers", "heads")}
        return {
            m: {k: getattr(self, k) for k in owned[m] if getattr(self, k) is not None} for m in modalities
        }


class ImportedSection(Section):
    """A file of maps made elsewhere (format: :mod:`sidelight.lab.evaluation.map_files`): one more row of every table.

    ``signed`` says whether scores below 0 speak against the class; by default the file says or shows it.
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    path: str
    signed: bool | None = None


class EvaluationSection(Section):
    """What is measured on the test split.

    ``count`` samples carry every metric that needs one masked pass; the first
    ``curve_count`` of them also carry the metrics that need a whole curve.
    ``fills`` default to those every modality of the target has; without ``granularities``
    every feature stands alone (pixel, token). ``groups`` are the modalities masked and ranked
    together, e.g. ``[[image, text], [image], [text]]``; by default all of them, and each alone.
    ``rivals`` are names, or one-key mappings ``{name: {option: value}}``; those in
    ``few_samples`` (slow ones) are measured on the ``curve_count`` samples only, and with the metrics of one
    masked pass on as many as ``few_count``.
    ``imported`` lists maps that another program made, ``{name, path, signed}``. A ``protocol`` other than the
    default (``thesis``, ``thesis-later``) brings its own ``fills``, ``metrics`` and ``granularities``.
    """

    protocol: str = "sidelight"
    count: int = Field(default=500, ge=1)
    curve_count: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=50, ge=1)
    forward_batch: int = Field(default=128, ge=1)
    fills: list[str] | None = None
    metrics: list[str] | None = None
    granularities: list[str] = Field(default_factory=list)
    groups: list[list[str]] | None = None
    steps: int = Field(default=20, ge=1)
    tie_draws: int = Field(default=1, ge=1)
    rivals: list[str | dict[str, dict[str, Any]]] | None = None
    few_samples: list[str | dict[str, dict[str, Any]]] = Field(default_factory=list)
    few_count: int | None = Field(default=None, ge=1)
    imported: list[ImportedSection] = Field(default_factory=list)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class AblationSection(Section):
    """Variants of the scorer, trained and measured side by side (``sidelight ablate``).

    ``variants`` maps a name to what it changes in ``scorer``, ``objective`` or ``training``: a list of
    ``section.key=value`` strings or a mapping of dotted keys to values, empty for the run as it is.
    Without ``variants`` there are the thesis's eight (Tables 5.10, 5.11), the other readings of the
    calibration, the other sources of the label, and two sizes of the scorer.
    ``seeds`` default to the run's; ``count``, ``curve_count``, ``steps`` and ``fills`` to ``evaluation``'s.
    ``samples`` is how many inputs the picture shows.
    """

    seeds: list[int] | None = Field(default=None, min_length=1)
    variants: dict[str, list[str] | dict[str, Any] | None] | None = Field(default=None, min_length=1)
    count: int | None = Field(default=None, ge=1)
    curve_count: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    fills: list[str] | None = Field(default=None, min_length=1)
    metrics: list[str] | None = Field(default=None, min_length=1)
    samples: int = Field(default=5, ge=1)


#: asked beside the scorer: cheap ones, one that reads the input alone and one that reads nothing
AUDIT_RIVALS: tuple[str | dict[str, dict[str, Any]], ...] = (
    "integrated_gradients",
    "grad_cam",
    "saliency",
    "input_norm",
    "random",
)


class AuditSection(Section):
    """What ``sidelight audit`` asks of a scorer, and with how much effort.

    ``scorer`` is the seed of the one audited (default: the first); ``rivals`` are asked beside it, as in
    ``evaluation``. ``count`` test samples serve the checks that make maps many times (parameters,
    retraining, stability), ``count_wide`` the others (encoding, classes). ``steps`` and ``top_share``: of the
    randomisation. ``train`` rows and ``epochs``: the budget of a scorer trained again; ``labels``: train a
    classifier on shuffled labels as well. ``areas``, ``fills`` (default: those of ``objective``) and ``classifier``
    (default: like the target; its own preprocessing is the target's unless given): of the encoding check. ``noise``
    (share of an image's deviation, share of a text's words) and ``draws``: of the stability check.
    """

    scorer: int | None = None
    rivals: list[str | dict[str, dict[str, Any]]] = Field(default_factory=lambda: list(AUDIT_RIVALS))
    count: int = Field(default=32, ge=1)
    count_wide: int = Field(default=200, ge=2)
    steps: int = Field(default=8, ge=1)
    top_share: float = Field(default=0.1, gt=0, le=1)
    train: int | None = Field(default=2000, ge=2)
    epochs: float = Field(default=1.0, gt=0)
    labels: bool = False
    areas: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=lambda: [0.05, 0.1, 0.2, 0.5], min_length=1
    )
    fills: list[str] | None = Field(default=None, min_length=1)
    classifier: TargetSection | None = None
    noise: float = Field(default=0.05, gt=0, le=1)
    draws: int = Field(default=5, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class ReportSettings(Section):
    """What the page shows: samples in its gallery, and which methods beside ours."""

    samples: int = Field(default=8, ge=0)
    failures: int = Field(default=4, ge=0)
    methods: list[str] = Field(
        default_factory=lambda: ["integrated_gradients", "grad_cam", "occlusion", "saliency"]
    )
    speed: bool = True


class RunConfig(Section):
    """One run: a target, its scorers (one per seed) and their evaluation."""

    name: str = "run"
    seeds: list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]] = Field(
        default_factory=lambda: [0], min_length=1
    )
    data: DataSection
    target: TargetSection
    scorer: ScorerSection = ScorerSection()
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    evaluation: EvaluationSection = EvaluationSection()
    report: ReportSettings = ReportSettings()
    ablation: AblationSection = AblationSection()
    audit: AuditSection = AuditSection()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file and apply ``section.key=value`` overrides (values are YAML).

    Raises:
        ConfigError: missing or malformed file, unknown key (with the nearest known), bad value.
    """
    return parse_config(read_yaml(path), overrides)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, empty for an empty file.

    Raises:
        ConfigError: missing or malformed file, or something else than a mapping.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"no config file at {str(file)!r}.")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{file} is nested too deeply to be a configuration.") from error
    require_few_values(values, str(file))
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold a mapping of sections; got {type(values).__name__}.")
    return values


def require_few_values(values: Any, name: str) -> None:
    """Refuse what has more values than a configuration needs, each counted as often as an anchor repeats it.

    A few lines of anchors that hold anchors stand for millions of values, which would all be checked and written.

    Raises:
        ConfigError: there are too many, or a value holds itself.
    """
    known: dict[int, int] = {}

    def count(value: Any) -> int:
        if not isinstance(value, (dict, list)):
            return 1
        if id(value) not in known:
            known[id(value)] = MOST_VALUES + 1  # until it is counted: who comes here again holds itself
            parts = value.values() if isinstance(value, dict) else value
            known[id(value)] = 1 + sum(map(count, parts))
        return known[id(value)]

    if count(values) > MOST_VALUES:
        raise ConfigError(
            f"{name} stands for more than {MOST_VALUES:,} values, or for one that holds itself: too much for a "
            "configuration. Are there anchors (&) that repeat anchors?"
        )


def parse_config(values: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> RunConfig:
    """Validate plain values; see :func:`load_config`."""
    merged = apply_overrides(values, overrides)
    if isinstance(merged.get("objective"), Mapping):
        merged["objective"] = without_retired(merged["objective"])
    return parse_section(merged, RunConfig)


S = TypeVar("S", bound=Section)


def parse_section(values: Mapping[str, Any], kind: type[S]) -> S:
    """``values`` as a section of that kind.

    Raises:
        ConfigError: unknown key (with the nearest known), or a bad value.
    """
    _refuse_unknown(values, kind, "")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        given = first.get("input")
        raise ConfigError(f"config {where or 'file'} {plain_words(first['msg'])}; got {given!r}.") from error


def dump_config(config: RunConfig) -> str:
    """YAML text that :func:`load_config` reads back to an equal config."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {k: _plain(getattr(value, k)) for k in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _fields(kind: Any) -> dict[str, Any] | None:
    """Field name -> type of a section, or ``None`` where ``kind`` is none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {k: f.annotation for k, f in kind.model_fields.items()}
    if dataclasses.is_dataclass(kind):
        return dict(typing.get_type_hints(kind))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((f for f in map(_fields, typing.get_args(kind)) if f), None)
    return None


def _refuse_unknown(values: Any, kind: Any, path: str) -> None:
    fields = _fields(kind)
    if fields is None or not isinstance(values, Mapping):
        return
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(
                f"unknown config key {path + str(key)!r}.{nearest(str(key), fields)} "
                f"Known here: {', '.join(fields)}."
            )
        _refuse_unknown(value, fields[key], f"{path}{key}.")
