"""The sections of a run's and of a benchmark's YAML file, with their defaults. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from sidelight.core.field_checks import (
    LARGEST_SEED,
    MOST_DRAWS,
    Count,
    Epochs,
    NotNegative,
    Options,
    Positive,
    Seed,
    Share,
    check_fields,
)
from sidelight.errors import ConfigError
from sidelight.lab.config.judge_section import JudgeSection
from sidelight.lab.config.scorer_sections import BesideSection, ScorerSection, Section
from sidelight.training.settings import ObjectiveConfig, TrainingConfig


class DataSection(Section):
    """The data set.

    Attributes:
        name: name of the data set, as in ``sidelight list``.
        data_dir: folder of local copies (default: ``$SIDELIGHT_DATA``, ``data``, then ``../shared/data``).
        train: largest number of rows of the training split (default: all).
        validation: largest number of rows of the validation split (default: all).
        test: largest number of rows of the test split (default: all).
        seed: seed by which the rows are drawn.
    """

    name: str
    data_dir: str | None = None
    train: int | None = Field(default=None, ge=1)
    validation: int | None = Field(default=None, ge=1)
    test: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class ConvertSection(Section):
    """Weights of another library.

    Attributes:
        format: format of the weights.
        weights: a file, or ``package:path/in/package``.
        classes: numbers of the classes that are kept (default: all).
    """

    format: Literal["torchvision_mobilenet_v2"]
    weights: str
    classes: list[int] | None = None


class ModelSection(Section):
    """A model.

    Attributes:
        pretrained: hub id, folder, or ``package:path`` of a Python package.
        revision: revision of the hub repository.
        architecture: ``model_type`` and options of a new Hugging Face model with random weights.
    """

    pretrained: str | None = None
    revision: str | None = None
    architecture: dict[str, Any] | None = None

    def only(self, *names: str, where: str = "target") -> str:
        """The one of ``names`` that is given. Raises :class:`ConfigError` unless it is exactly one."""
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(
                f"config {where} needs exactly one of {', '.join(names)}; got {', '.join(given) or 'none'}."
            )
        return given[0]


@dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained: AdamW, with linear decay after warm-up.

    Attributes:
        epochs: how often all rows are read.
        batch_size: rows in each step.
        learning_rate: largest learning rate.
        weight_decay: weight decay of AdamW.
        warmup_ratio: share of the steps in which the learning rate rises.
        augment: shift pictures by up to an eighth of their sides, and mirror every second one, anew in each step. For
            classifiers of few pictures that mean the same when they are mirrored.
        seed: seed of the initial weights and of the order of the rows.
        extra: more options of Hugging Face's ``TrainingArguments``.
    """

    epochs: Epochs = 3
    batch_size: Count = 64
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    warmup_ratio: Share = 0.1
    augment: bool = False
    seed: Seed = 0
    extra: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, "target.training")


class WarmupSection(Section):
    """The training of an encoder before it is joined to another one.

    Attributes:
        data: a data set of the encoder's own modality.
        training: how the encoder is trained, with a head for the classes of ``data``.
    """

    data: DataSection
    training: ClassifierTraining = Field(default_factory=ClassifierTraining)


class FusionTextSection(ModelSection):
    """Text encoder of a fusion.

    Attributes:
        tokenizer: as in :class:`TargetSection`.
        warmup: a training of the encoder alone, before the fusion.
    """

    tokenizer: str | None = None
    warmup: WarmupSection | None = None


class FusionImageSection(ModelSection):
    """Image encoder of a fusion.

    Attributes:
        convert, transform: as in :class:`TargetSection`.
        warmup: a training of the encoder alone, before the fusion.
    """

    convert: ConvertSection | None = None
    transform: dict[str, Any] | None = None
    warmup: WarmupSection | None = None


class FusionSection(Section):
    """A classifier of image-text pairs: two encoders and a small transformer over their tokens.

    Attributes:
        text: the text encoder.
        image: the image encoder.
        width, layers, heads, expand, dropout: size of the transformer that joins them, as in
            :class:`sidelight.models.fusion.FusionConfig`.
        freeze: the encoders that are not trained.
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
    """The classifier. Give one of ``pretrained``, ``architecture``, ``convert`` and ``fusion`` (image and text).

    Attributes:
        convert: weights of another library.
        fusion: a classifier of image-text pairs, made of two encoders.
        transform: preprocessing of images, if the model brings none.
        tokenizer: if the model brings none: a name in ``TOKENIZERS``, or a hub id, folder or package as in ``pretrained``.
        training: if given, the classifier is trained before the scorer, with a head for the data set's classes.
        options: options of the target family, e.g. ``layers``.
    """

    convert: ConvertSection | None = None
    fusion: FusionSection | None = None
    transform: dict[str, Any] | None = None
    tokenizer: str | None = None
    training: ClassifierTraining | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class ImportedSection(Section):
    """A file of maps that another program made, one more row of every table.

    Attributes:
        name: name of the method in the tables.
        path: path of the file (format: :mod:`sidelight.lab.evaluation.map_files`).
        signed: whether scores below 0 are evidence against the class (default: the entry ``signed`` of the file, else
            whether it holds a score below 0).
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    path: str
    signed: bool | None = None


class OtherDataSection(Section):
    """Rows on which a run is measured in place of its own test split. Their labels are not read.

    Attributes:
        name: name of a data set of the run's modalities, as in ``sidelight list``.
        split: the split that is measured. Nothing was trained on any of them.
        data_dir: folder of local copies (default: as ``data.data_dir``).
        seed: seed by which the rows are drawn.
    """

    name: str
    split: Literal["train", "validation", "test"] = "test"
    data_dir: str | None = None
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class EvaluationSection(Section):
    """The measurements on the test split.

    Attributes:
        data: another data set to measure on, for example one whose evidence is known (default: the run's own test split).
            The results lie apart, in a folder of their own in the run.
        protocol: choices behind the numbers. ``thesis`` and ``thesis-later`` bring their own ``fills``, ``metrics`` and
            ``granularities``.
        count: number of samples for metrics that need one masked pass.
        curve_count: number of samples for metrics that need a whole curve. They are the first of ``count`` (default: all).
        batch_size: samples in each batch.
        forward_batch: masked inputs in each pass of the classifier.
        fills: names of fills (default: those that every modality of the classifier has).
        metrics: names of metrics (default: all that need no judge).
        granularities: units that are removed at once, e.g. ``patch4`` (default: every pixel or token alone).
        groups: modalities that are masked and ranked together, e.g. ``[[image, text], [image], [text]]``
            (default: all of them, and each alone).
        steps: points of a curve.
        rivals: baseline methods, each a name or a mapping of its name to its options (default: those of
            ``sidelight list``).
        few_samples: slow baseline methods, whose curves are measured on the first ``curve_count`` samples only.
        few_count: number of samples for the metrics of one masked pass of ``few_samples`` (default: ``curve_count``).
        imported: files of maps that another program made.
        judge: how a copy of the classifier is fine-tuned, for metrics that ask it.
        seed: seed of the samples, of random fills and of random orders.
    """

    data: OtherDataSection | None = None
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
    rivals: list[str | dict[str, dict[str, Any]]] | None = None
    few_samples: list[str | dict[str, dict[str, Any]]] = Field(default_factory=list)
    few_count: int | None = Field(default=None, ge=1)
    imported: list[ImportedSection] = Field(default_factory=list)
    judge: JudgeSection = JudgeSection()
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class AblationSection(Section):
    """Variants of the scorer, trained and measured side by side (``sidelight ablate``).

    Attributes:
        seeds: seeds of each variant (default: those of the run).
        variants: name of a variant -> what it changes in ``scorer``, ``objective``, ``training`` or ``target``: a list of
            ``section.key=value`` strings, or a mapping of such keys to values. A variant without changes is the run as it
            is. Default: the eight of the thesis (Tables 5.10, 5.11), the other calibrations, the other labels, and two
            sizes of the scorer.
        count, curve_count, steps, fills, metrics: as in ``evaluation``, which is also the default.
        samples: number of inputs in the picture.
    """

    seeds: list[int] | None = Field(default=None, min_length=1)
    variants: dict[str, list[str] | dict[str, Any] | None] | None = Field(default=None, min_length=1)
    count: int | None = Field(default=None, ge=1)
    curve_count: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    fills: list[str] | None = Field(default=None, min_length=1)
    metrics: list[str] | None = Field(default=None, min_length=1)
    samples: int = Field(default=5, ge=1)


#: audited beside the scorer: fast methods, one that reads the input alone and one that reads nothing
AUDIT_RIVALS: tuple[str | dict[str, dict[str, Any]], ...] = (
    "integrated_gradients",
    "grad_cam",
    "saliency",
    "input_norm",
    "random",
)


class AuditSection(Section):
    """The checks of ``sidelight audit``, and their effort.

    Attributes:
        scorer: seed of the scorer that is audited (default: the first).
        rivals: baseline methods that are audited beside it, as in ``evaluation``.
        count: number of test samples for the checks that make maps many times (parameters, retraining, stability).
        count_wide: number of test samples for the other checks (encoding, classes).
        steps: number of steps in which the check ``parameters`` draws weights anew.
        top_share: share of the best features whose overlap is compared.
        train: number of rows for a scorer that the check ``retraining`` trains.
        epochs: epochs of that training.
        labels: whether the check ``retraining`` also trains a classifier on shuffled labels.
        areas: shares of the input that masks keep in the check ``encoding``.
        fills: fills of the check ``encoding`` (default: those of ``objective``).
        classifier: the judge of the check ``encoding`` (default: like the target, with its preprocessing).
        noise: size of the change in the check ``stability``: share of an image's deviation, share of a text's words.
        draws: number of such changes for each sample.
        seed: seed of the samples and of all random numbers.
    """

    scorer: int | None = None
    rivals: list[str | dict[str, dict[str, Any]]] = Field(default_factory=lambda: list(AUDIT_RIVALS))
    count: int = Field(default=32, ge=1)
    count_wide: int = Field(default=200, ge=2)
    steps: int = Field(default=8, ge=1)
    top_share: float = Field(default=0.1, gt=0, le=1)
    train: int | None = Field(default=2000, ge=2)
    epochs: Epochs = 1.0
    labels: bool = False
    areas: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=lambda: [0.05, 0.1, 0.2, 0.5], min_length=1
    )
    fills: list[str] | None = Field(default=None, min_length=1)
    classifier: TargetSection | None = None
    noise: float = Field(default=0.05, gt=0, le=1)
    draws: int = Field(default=5, ge=1, le=MOST_DRAWS)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)


class ReportSettings(Section):
    """The report page.

    Attributes:
        samples: number of random samples in the gallery.
        failures: number of samples on which our map was worst.
        methods: baseline methods in the galleries.
        speed: whether the page times the methods.
    """

    samples: int = Field(default=8, ge=0)
    failures: int = Field(default=4, ge=0)
    methods: list[str] = Field(
        default_factory=lambda: ["integrated_gradients", "grad_cam", "occlusion", "saliency"]
    )
    speed: bool = True


class RunConfig(Section):
    """One run: a target, its scorers and their evaluation.

    Attributes:
        name: name of the run and of its folder in ``runs``.
        seeds: one scorer is trained for each seed.
        data: the data set.
        target: the classifier.
        scorer: the scorer's network.
        objective: what the scorer learns: the name of a preset, or fields.
        training: how the scorer is trained.
        beside: further kinds of scorers by name, e.g. ``thesis: {objective: thesis}``.
        evaluation: what is measured (``sidelight evaluate``).
        report: the page (``sidelight report``).
        ablation: variants of the scorer (``sidelight ablate``).
        audit: checks of the scorer (``sidelight audit``).
    """

    name: str = "run"
    seeds: list[Annotated[int, Field(ge=0, le=LARGEST_SEED)]] = Field(
        default_factory=lambda: [0], min_length=1
    )
    data: DataSection
    target: TargetSection
    scorer: ScorerSection = ScorerSection()
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    beside: dict[Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")], BesideSection] = Field(
        default_factory=dict
    )
    evaluation: EvaluationSection = EvaluationSection()
    report: ReportSettings = ReportSettings()
    ablation: AblationSection = AblationSection()
    audit: AuditSection = AuditSection()
