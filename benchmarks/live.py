"""How long does a person wait who plays with a map? Slider to new probability, and typing to new map.

Random weights, on the threads that are asked for. The moves are those of the widget and of the page, in Python: what is counted
is all from the value of the control to the data that the browser gets, pictures encoded. The browser's own drawing and the way
there are not in it. Waiting is wall time, because that is what a person sees. Medians and the slowest of ten are printed.

    python benchmarks/live.py [--threads 2] [--repeats 30] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)

from sidelight import Explainer, ScorerConfig
from sidelight.inputs.limits import Limits
from sidelight.lab.speed.zoo import SHAPES
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.live.desk import Desk
from sidelight.live.widget import LiveWidget
from sidelight.targets import as_target
from sidelight.targets.base import TargetModel
from sidelight.training.network import scorer_of

#: MiniLM-L6's shapes
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
#: words of a short and of a long text
LENGTHS = (32, 120)
WORDS = [f"word{i}" for i in range(2000)]
SIDE = 224


def tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    own = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {f"{t.strip('[]').lower()}_token": t for t in special}
    return PreTrainedTokenizerFast(tokenizer_object=own, model_max_length=512, **names)


def text(length: int, seed: int) -> str:
    """So many words, drawn at random."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, length))


def explainer_of(target: TargetModel, sample: Any) -> Explainer:
    """The model with an untrained scorer, as `fit` makes it. Random weights cost as much as trained ones."""
    inputs = dict(target.reader.read([sample], labelled=False).inputs)
    return Explainer(target, scorer_of(target, inputs, ScorerConfig(by_class=True)))


def minilm() -> Explainer:
    """A random BERT of MiniLM's shapes."""
    model = BertForSequenceClassification(BertConfig(**MINILM, vocab_size=30522, num_labels=3)).eval()
    return explainer_of(as_target(model, tokenizer()), text(8, 0))


def mobilenet() -> Explainer:
    """A random MobileNetV2 for 224 px and 1,000 classes."""
    target = SHAPES["mobilenet-v2"]()
    return explainer_of(target, picture(0))


def picture(seed: int) -> Image.Image:
    """A picture with smooth colours and noise, larger than the model's."""
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)


def file_of(seed: int) -> bytes:
    """The content of a JPEG file."""
    file = io.BytesIO()
    picture(seed).save(file, "JPEG")
    return file.getvalue()


def waits(move: Callable[[int], Any], repeats: int) -> dict[str, float]:
    """Milliseconds of one move after some to warm up: the median, and what nine of ten stay below."""
    for number in range(3):
        move(1000 + number)
    found = []
    for number in range(repeats):
        start = time.perf_counter()
        move(number)
        found.append(1e3 * (time.perf_counter() - start))
    return {
        "median ms": statistics.median(found),
        "nine of ten below ms": statistics.quantiles(found, n=10)[-1],
    }


def shares(number: int) -> float:
    """A place of the slider, another one at each move."""
    return 0.05 + 0.9 * (number * 37 % 100) / 100


def of_texts(explainer: Explainer, length: int, repeats: int) -> list[dict[str, Any]]:
    """The moves of the widget and of the page on a text."""
    widget, desk = LiveWidget(explainer.live(text(length, 0)), Limits()), Desk({"run": explainer})
    token = desk.open("run", None, text(length, 0)).token

    def typed(number: int) -> None:
        widget.text = text(length, number)

    def slid(number: int) -> None:
        widget.share = shares(number)

    moves: dict[str, Callable[[int], Any]] = {
        "widget: slider to probability": slid,
        "widget: typing to map": typed,
        "page: slider to probability": lambda n: desk.keep(token, shares(n)),
        "page: typing to map": lambda n: desk.open("run", None, text(length, n), token=token),
    }
    about = {"model": "MiniLM-L6", "input": f"{length} words"}
    return [{**about, "move": name, **waits(move, repeats)} for name, move in moves.items()]


def of_pictures(explainer: Explainer, repeats: int) -> list[dict[str, Any]]:
    """The moves of the widget and of the page on a picture."""
    widget, desk = LiveWidget(explainer.live(picture(0)), Limits()), Desk({"run": explainer})
    token = desk.open("run", file_of(0), None).token

    def slid(number: int) -> None:
        widget.share = shares(number)

    moves: dict[str, Callable[[int], Any]] = {
        "widget: slider to probability": slid,
        "page: slider to probability": lambda n: desk.keep(token, shares(n)),
        "page: another picture to map": lambda n: desk.open("run", file_of(n), None, token=token),
        "page: another class to map": lambda n: desk.ask(token, str(n % 1000), None),
    }
    about = {"model": "MobileNetV2", "input": f"{SIDE} px"}
    return [{**about, "move": name, **waits(move, repeats)} for name, move in moves.items()]


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    texts = minilm()
    rows = [row for length in LENGTHS for row in of_texts(texts, length, args.repeats)]
    rows += of_pictures(mobilenet(), args.repeats)
    rows = [{**row, "threads": args.threads} for row in rows]
    heads = list(rows[0])
    told = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    Console(width=160).print(terminal(text_table(f"{args.threads} thread(s)", heads, told)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
