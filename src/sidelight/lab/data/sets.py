"""Data sets by name: a local folder of parquet files first, the hub second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sidelight.core.registry import Registry
from sidelight.lab.data.digits import digit_scenes
from sidelight.lab.data.local_copies import ENTAILMENT, local_loader, read_memes, read_snli_ve
from sidelight.lab.data.pair_sets import (
    FLICKR8K_HUB,
    esnlive_rows,
    flickr8k_rows,
    nlvr_rows,
    nlvr_sentence_rows,
)
from sidelight.lab.data.planted_text import CLASSES as VERDICTS
from sidelight.lab.data.reading import find_folder, from_file, from_hub, sample_rows, split_file
from sidelight.lab.data.scenes import CLASSES as CLAIMS
from sidelight.lab.data.scenes import KINDS_OF_OBJECT, object_rows, scene_rows
from sidelight.lab.data.texts import SENTIMENT, planted_rows, tidy_reviews, tidy_statements, tidy_tweets

MATCH = ("no match", "match")


@dataclass(frozen=True)
class DataSet:
    """How to load one data set.

    Attributes:
        modalities: names of its modalities.
        classes: class names by index.
        load: ``(split, data_dir, count, seed) -> rows``.
        source: where it comes from, for ``sidelight list``.
        truth: whether rows hold ``evidence``.
    """

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    load: Callable[..., Any]
    source: str
    truth: bool = False


DATASETS: Registry[DataSet] = Registry("data set")


def load_rows(
    name: str, split: str, *, data_dir: str | None = None, count: int | None = None, seed: int = 0
) -> Sequence[Any]:
    """Rows of a split, at most ``count`` of them, drawn with ``seed``.

    Args:
        name: a name in :data:`DATASETS`.
        split: ``train``, ``validation`` or ``test``.
        data_dir: folder with ``<name>/<split>.parquet``; default ``$SIDELIGHT_DATA``, then ``data``
            and ``../shared/data``, then the hub.

    Raises:
        UnknownNameError: no such data set.
        InputError: neither the folder nor the hub has it.
    """
    return DATASETS[name].load(split=split, data_dir=data_dir, count=count, seed=seed)


def frame_loader(
    folder: str,
    hub_id: str,
    tidy: Callable[[pd.DataFrame], pd.DataFrame],
    hub_columns: dict[str, str] | None = None,
) -> Callable[..., Any]:
    """A loader of a table small enough to be tidied in memory, from the same places.

    Published splits are kept; a hub data set without a validation split gives a tenth of
    its training rows, drawn once.

    Args:
        folder: name of the local folder.
        hub_id: data set on the hub.
        tidy: the table as read to the columns that rows should have.
        hub_columns: hub names of columns that ``tidy`` knows by others.
    """

    def load(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
        import datasets

        place = find_folder(folder, data_dir)
        if place is not None:
            frame = from_file(split_file(place, split)).to_pandas()
        else:
            frame = _hub_frame(folder, hub_id, split).rename(columns=hub_columns or {})
        rows = datasets.Dataset.from_pandas(tidy(frame), preserve_index=False)
        return sample_rows(rows, count, seed)

    return load


def _hub_frame(name: str, hub_id: str, split: str) -> pd.DataFrame:
    if split == "test":
        return from_hub(name, hub_id, split).to_pandas()
    splits = from_hub(name, hub_id, None)
    train = splits["train"].to_pandas()
    if "validation" in splits:
        return train if split == "train" else splits["validation"].to_pandas()
    held = train.sample(frac=0.1, random_state=0)
    return held if split == "validation" else train.drop(held.index)


def parquet_loader(name: str, hub_id: str, hub_columns: dict[str, str] | None = None) -> Callable[..., Any]:
    """A loader for ``<folder>/<split>.parquet`` that falls back to the hub's ``hub_id``."""

    def load(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
        folder = find_folder(name, data_dir)
        if folder is not None:
            rows = from_file(split_file(folder, split))
        else:
            rows = from_hub(name, hub_id, split).rename_columns(hub_columns or {})
        return sample_rows(rows, count, seed)

    return load


def _digits(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    return digit_scenes(split, count, seed)


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
#: ImageNet-1k indices of Imagenette's classes, in its own order.
IMAGENETTE_IN_IMAGENET = (0, 217, 482, 491, 497, 566, 569, 571, 574, 701)

DATASETS.add(
    "digits", DataSet(("image",), DIGITS, _digits, "embedded: scikit-learn digits among strokes", True)
)
DATASETS.add(
    "mnist", DataSet(("image",), DIGITS, parquet_loader("mnist", "ylecun/mnist"), "hub: ylecun/mnist")
)
DATASETS.add(
    "cifar10",
    DataSet(
        ("image",),
        CIFAR10,
        parquet_loader("cifar10", "uoft-cs/cifar10", {"img": "image"}),
        "hub: uoft-cs/cifar10",
    ),
)
DATASETS.add(
    "imagenette",
    DataSet(
        ("image",), IMAGENETTE, parquet_loader("imagenette", "frgfm/imagenette"), "hub: frgfm/imagenette"
    ),
)
DATASETS.add(
    "planted_text",
    DataSet(("text",), VERDICTS, planted_rows, "embedded: reviews from a grammar, verdict planted", True),
)
TWEETS, TWEETS_HUB = "tweet_sentiment_extraction", "mteb/tweet_sentiment_extraction"
DATASETS.add(
    "tweets",
    DataSet(
        ("text",),
        ("negative", "positive"),
        frame_loader(TWEETS, TWEETS_HUB, tidy_tweets),
        f"hub: {TWEETS_HUB}, neutral tweets left out (evidence in a local copy only)",
        True,
    ),
)
DATASETS.add(
    "tweets_neutral",
    DataSet(
        ("text",),
        SENTIMENT,
        frame_loader(TWEETS, TWEETS_HUB, lambda frame: tidy_tweets(frame, (0, 1, 2))),
        f"hub: {TWEETS_HUB}, all three classes (evidence in a local copy only)",
        True,
    ),
)
DATASETS.add(
    "imdb",
    DataSet(
        ("text",),
        ("negative", "positive"),
        frame_loader("imdb", "stanfordnlp/imdb", tidy_reviews),
        "hub: stanfordnlp/imdb",
    ),
)
DATASETS.add(
    "liar",
    DataSet(
        ("text",),
        ("false", "true"),
        frame_loader("liar", "ucsbnlp/liar", tidy_statements, {"statement": "text"}),
        "hub: ucsbnlp/liar, six grades made two",
    ),
)
PAIR = ("image", "text")
DATASETS.add(
    "scenes",
    DataSet(
        PAIR, CLAIMS, scene_rows, "embedded: coloured shapes and captions; some captions need no look", True
    ),
)
DATASETS.add(
    "scene_objects",
    DataSet(
        ("image",),
        KINDS_OF_OBJECT,
        object_rows,
        "embedded: one coloured shape; warms up encoders of scenes",
        True,
    ),
)
DATASETS.add(
    "flickr8k",
    DataSet(
        PAIR, MATCH, flickr8k_rows, f"own or another picture's caption; local copy, or hub: {FLICKR8K_HUB}"
    ),
)
DATASETS.add(
    "hateful_memes",
    DataSet(
        PAIR,
        ("not hateful", "hateful"),
        local_loader("hateful_memes", read_memes, "train.jsonl, dev_seen.jsonl, test_seen.jsonl and img/"),
        "local copy as published (jsonl and img)",
    ),
)
DATASETS.add(
    "snli_ve",
    DataSet(
        PAIR,
        ENTAILMENT,
        local_loader(
            "snli_ve", read_snli_ve, "snli_ve_{train,dev,test}.jsonl and a folder of Flickr30k's pictures"
        ),
        "local copy as published (jsonl), with Flickr30k's pictures",
    ),
)
DATASETS.add("esnlive", DataSet(PAIR, ENTAILMENT, esnlive_rows, "local copy: e-SNLI-VE, hypotheses"))
DATASETS.add(
    "nlvr",
    DataSet(PAIR, MATCH, nlvr_rows, "local copy: NLVR, does the picture show such an object?", True),
)
DATASETS.add(
    "nlvr_sentences",
    DataSet(PAIR, ("false", "true"), nlvr_sentence_rows, "local copy: NLVR, human-written sentences"),
)
