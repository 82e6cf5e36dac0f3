"""Data sets by name: a local folder of parquet files first, the hub second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidelight.core.registry import Registry
from sidelight.errors import ConfigError
from sidelight.lab.data.boxes import ANIMALS, object_box_rows
from sidelight.lab.data.digits import digit_scenes
from sidelight.lab.data.local_copies import ENTAILMENT, local_loader, read_memes, read_snli_ve
from sidelight.lab.data.nlvr import KINDS as KINDS_OF_NLVR
from sidelight.lab.data.nlvr import nlvr_object_rows, nlvr_rows
from sidelight.lab.data.pair_sets import FLICKR8K_HUB, esnlive_rows, flickr8k_rows
from sidelight.lab.data.planted_text import CLASSES as VERDICTS
from sidelight.lab.data.reading import (
    find_folder,
    from_file,
    from_hub,
    require_columns,
    require_order,
    require_rows,
    sample_rows,
    split_file,
)
from sidelight.lab.data.scenes import CLASSES as CLAIMS
from sidelight.lab.data.scenes import KINDS_OF_OBJECT, object_rows, scene_rows
from sidelight.lab.data.texts import GRADES, planted_rows, tidy_reviews, tidy_statements, tidy_tweets
from sidelight.lab.data.two_digits import two_digits_loader

if TYPE_CHECKING:  # slow to import
    import pandas as pd


@dataclass(frozen=True)
class DataSet:
    """How to load one data set.

    Attributes:
        modalities: names of its modalities.
        classes: class names by index.
        load: ``(split, data_dir, count, seed) -> rows``.
        source: its origin, for ``sidelight list``.
        truth: whether rows hold ``evidence``.
    """

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    load: Callable[..., Any]
    source: str
    truth: bool = False

    def __post_init__(self) -> None:
        for name, value in (("modalities", self.modalities), ("classes", self.classes)):
            if isinstance(value, str) or not all(isinstance(v, str) for v in value):
                raise ConfigError(
                    f"{name} of a data set must be a tuple of texts, e.g. ('image',); got {value!r}."
                )
        if not callable(self.load):
            raise ConfigError(f"load of a data set must be a function; got {type(self.load).__name__}.")


def load_rows(
    name: str, split: str, *, data_dir: str | None = None, count: int | None = None, seed: int = 0
) -> Sequence[Any]:
    """Rows of a split, at most ``count`` of them, drawn with ``seed``.

    Args:
        name: a name in :data:`DATASETS`.
        split: ``train``, ``validation`` or ``test``.
        data_dir: folder with ``<name>/<split>.parquet`` (default: ``$SIDELIGHT_DATA``, then ``data``)
            and ``../shared/data``, then the hub.

    Raises:
        UnknownNameError: no such data set.
        InputError: neither the folder nor the hub has it, its function returned no rows, or rows that number
            its classes otherwise.
    """
    rows = DATASETS[name].load(split=split, data_dir=data_dir, count=count, seed=seed)
    require_rows(rows, name, split)
    require_order(rows, DATASETS[name].classes, name)
    return sample_rows(rows, count, seed)  # a function of a user may return all that it has


def parquet_loader(
    name: str,
    hub_id: str,
    hub_columns: dict[str, str] | None = None,
    tidy: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    *,
    others: Sequence[str] = (),
    numbered: Sequence[str] = (),
) -> Callable[..., Any]:
    """A loader of ``<name>/<split>.parquet`` that falls back to the hub.

    Args:
        hub_columns: hub names of columns that rows have under other names.
        tidy: makes the rows from the table as read, which must fit in memory then. If the hub's data set has
            no validation split, a tenth of its training rows, drawn once, becomes one.
        others: names that the local folder may have instead.
        numbered: class names by the label numbers that ``tidy`` takes.
    """

    def load(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
        import datasets

        place, names = find_folder(name, data_dir, *others), hub_columns or {}
        if tidy is None:
            rows = (
                from_hub(name, hub_id, split).rename_columns(names)
                if place is None
                else from_file(split_file(place, split))
            )
        else:
            frame = (
                _hub_frame(name, hub_id, split).rename(columns=names)
                if place is None
                else _local_frame(name, split_file(place, split), numbered)
            )
            rows = datasets.Dataset.from_pandas(tidy(frame), preserve_index=False)
        return sample_rows(rows, count, seed)

    return load


def _local_frame(name: str, path: Path, numbered: Sequence[str]) -> pd.DataFrame:
    rows = from_file(path)
    require_columns(rows, path, ("text", "label"))
    require_order(rows, numbered, name)  # a data frame knows no names of its label numbers
    return rows.to_pandas()


def _hub_frame(name: str, hub_id: str, split: str) -> pd.DataFrame:
    if split == "test":
        return from_hub(name, hub_id, split).to_pandas()
    splits = from_hub(name, hub_id, None)
    train = splits["train"].to_pandas()
    if "validation" in splits:
        return train if split == "train" else splits["validation"].to_pandas()
    held = train.sample(frac=0.1, random_state=0)
    return held if split == "validation" else train.drop(held.index)


IMAGE, TEXT, PAIR = ("image",), ("text",), ("image", "text")

MATCH = ("no match", "match")
OPINION = ("negative", "positive")
DIGITS = tuple(str(i) for i in range(10))
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
IMAGENETTE = (
    "tench",
    "English springer",
    "cassette player",
    "chain saw",
    "church",
    "French horn",
    "garbage truck",
    "gas pump",
    "golf ball",
    "parachute",
)

TWEETS_HUB = "mteb/tweet_sentiment_extraction"
_TWEETS = parquet_loader(
    "tweets", TWEETS_HUB, tidy=tidy_tweets, others=("tweet_sentiment_extraction",), numbered=GRADES
)
_MNIST = parquet_loader("mnist", "ylecun/mnist")
_CIFAR10 = parquet_loader("cifar10", "uoft-cs/cifar10", {"img": "image"})
_IMAGENETTE = parquet_loader("imagenette", "frgfm/imagenette")
_IMDB = parquet_loader("imdb", "stanfordnlp/imdb", tidy=tidy_reviews, numbered=OPINION)
_LIAR = parquet_loader("liar", "ucsbnlp/liar", {"statement": "text"}, tidy_statements)
_MEMES = local_loader("hateful_memes", read_memes, "train.jsonl, dev_seen.jsonl, test_seen.jsonl and img/")
_SNLI_VE = local_loader(
    "snli_ve", read_snli_ve, "snli_ve_{train,dev,test}.jsonl and a folder of Flickr30k's pictures"
)


def _digits(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    return digit_scenes(split, count, seed)


# fmt: off
_SETS = {
    "digits": DataSet(IMAGE, DIGITS, _digits, "embedded: scikit-learn digits among strokes", True),
    "mnist": DataSet(IMAGE, DIGITS, _MNIST, "hub: ylecun/mnist"),
    "two_digits": DataSet(IMAGE, DIGITS, two_digits_loader(_MNIST), "made of mnist: two digits side by side, independent labels"),
    "cifar10": DataSet(IMAGE, CIFAR10, _CIFAR10, "hub: uoft-cs/cifar10"),
    "imagenette": DataSet(IMAGE, IMAGENETTE, _IMAGENETTE, "hub: frgfm/imagenette"),
    "object_boxes": DataSet(IMAGE, ANIMALS, object_box_rows, "local copy: photographs with boxes around the animals", True),
    "planted_text": DataSet(TEXT, VERDICTS, planted_rows, "embedded: reviews from a grammar, verdict planted", True),
    "tweets": DataSet(TEXT, OPINION, _TWEETS, f"hub: {TWEETS_HUB}, neutral tweets left out (evidence in a local copy only)", True),
    "imdb": DataSet(TEXT, OPINION, _IMDB, "hub: stanfordnlp/imdb"),
    "liar": DataSet(TEXT, ("false", "true"), _LIAR, "hub: ucsbnlp/liar, six grades made two"),
    "scenes": DataSet(PAIR, CLAIMS, scene_rows, "embedded: coloured shapes and captions; some captions need no look", True),
    "scene_objects": DataSet(IMAGE, KINDS_OF_OBJECT, object_rows, "embedded: one coloured shape; warms up encoders of scenes", True),
    "flickr8k": DataSet(PAIR, MATCH, flickr8k_rows, f"own or another picture's caption; local copy, or hub: {FLICKR8K_HUB}"),
    "hateful_memes": DataSet(PAIR, ("not hateful", "hateful"), _MEMES, "local copy as published (jsonl and img)"),
    "snli_ve": DataSet(PAIR, ENTAILMENT, _SNLI_VE, "local copy as published (jsonl), with Flickr30k's pictures"),
    "esnlive": DataSet(PAIR, ENTAILMENT, esnlive_rows, "local copy: e-SNLI-VE, hypotheses"),
    "nlvr": DataSet(PAIR, MATCH, nlvr_rows, "local copy: NLVR, does the picture show such an object?", True),
    "nlvr_objects": DataSet(IMAGE, KINDS_OF_NLVR, nlvr_object_rows, "local copy: one object of NLVR; warms up encoders of its pictures", True),
}
# fmt: on

DATASETS: Registry[DataSet] = Registry("data set")
for _name, _entry in _SETS.items():
    DATASETS.add(_name, _entry)
