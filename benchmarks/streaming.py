"""What does a stream of explanations cost beside the bare classifier's own loop over the same batches?

Random weights. The bare loop tokenizes or prepares the same batches of rows, of like length within a block, calls the model,
and takes the softmax. `explain_dataset` reads the rows from a Parquet file or a folder, explains them, and writes everything that it
writes. Both take turns within one run, and each ratio is taken within one turn. "scorer alone" is the ratio that
would be left if nothing but the scorer's own pass were added to the bare loop. The seconds are those of the
processor, which other programs on the machine do not add to, and those of the clock.

    python benchmarks/streaming.py [--model minilm-l2 ...] [--repeats 5] [--threads 1] [--profile] [--json FILE]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.console import Console
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

from live import SIDE, WORDS, explainer_of, mobilenet, picture, tokenizer
from sidelight import Explainer, ImageTransform
from sidelight.checks.quality import CLASSES, CLUES, Quality
from sidelight.explanations.sorted_blocks import length_of
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.targets import as_target

#: rows of a block and of a pass, as `explain_dataset` takes them by default
BLOCK, BATCH = 256, 32
#: words of the shortest and of the longest text
LENGTHS = (4, 48)
SMALL = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}


def bert(layers: int) -> Explainer:
    """A random BERT of MiniLM's width."""
    config = BertConfig(**SMALL, num_hidden_layers=layers, vocab_size=30522, num_labels=3)
    model = BertForSequenceClassification(config).eval()
    return explainer_of(as_target(model, tokenizer()), "a good film")


def vit() -> Explainer:
    """A random ViT-S/16 for 224 px and 1,000 classes."""
    config = ViTConfig(**{**SMALL, "num_attention_heads": 6}, num_labels=1000)
    target = as_target(ViTForImageClassification(config).eval(), ImageTransform((SIDE, SIDE)))
    return explainer_of(target, picture(0))


#: an explainer, and how many rows take ten seconds or more. A stream reads its first batch, writes its last block, and looks at the
#: weights once, while the model waits. So few rows would say little of a long stream.
MODELS: dict[str, tuple[Callable[[], Explainer], int]] = {
    "minilm-l2": (lambda: bert(2), 4096),
    "minilm-l6": (lambda: bert(6), 2048),
    "mobilenet-v2": (mobilenet, 256),
    "vit-s16": (vit, 160),
}


def ready(explainer: Explainer) -> Explainer:
    """The explainer with a foretold quality, which a training adds."""
    count = len(CLUES) + CLASSES
    explainer.scorer.quality = Quality((0.5,) * count, (1.0,) * count, (0.01,) * count, 0.2, 0.5, 100)
    return explainer


def texts(count: int) -> list[str]:
    """Texts of several lengths."""
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, draw.integers(*LENGTHS))) for _ in range(count)]


def source_of(explainer: Explainer, count: int, folder: Path) -> tuple[Path, list[Any]]:
    """The rows on disk, and as samples."""
    if "text" in explainer.target.modalities:
        rows = texts(count)
        pq.write_table(pa.table({"text": rows}), folder / "texts.parquet")
        return folder / "texts.parquet", rows
    place = folder / "pictures"
    place.mkdir()
    for number in range(count):
        picture(number % 16).save(place / f"{number:05d}.jpg")
    return place, sorted(str(p) for p in place.iterdir())


def batches_of(rows: Sequence[Any], by_length: bool) -> Iterator[list[Any]]:
    """The batches that `explain_dataset` makes."""
    for start in range(0, len(rows), BLOCK):
        block = list(rows[start : start + BLOCK])
        ordered = sorted(block, key=length_of) if by_length else block
        yield from (ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH))


def bare(explainer: Explainer, rows: Sequence[Any]) -> list[Any]:
    """The classifier's own loop: class and probability of each row."""
    model, reader, found = explainer.target.model, explainer.target.reader, list[Any]()
    by_length = "text" in explainer.target.modalities
    for batch in batches_of(rows, by_length):
        if by_length:
            inputs = reader.tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        else:
            opened = [Image.open(path).convert("RGB") for path in batch]
            inputs = dict(reader.prepare(opened).inputs)
        with torch.inference_mode():
            best = model(**inputs).logits.softmax(-1).max(-1)
        found += list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
    return found


def scorer_alone(explainer: Explainer, rows: Sequence[Any]) -> Callable[[], Any]:
    """A call of the scorer on the clean passes of all batches: what a stream takes at least beside the bare loop."""
    target, by_length = explainer.target, "text" in explainer.target.modalities
    found = []
    for batch in batches_of(rows, by_length):
        with torch.inference_mode():
            found.append(target.encode(target.reader.read(batch, labelled=False).inputs))
    return lambda: [explainer.read(encoding) for encoding in found]


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """How long a call takes the processor, and by the clock."""
    start, clock = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - start, time.perf_counter() - clock


def measure(name: str, repeats: int, options: dict[str, Any], profile: bool) -> dict[str, Any]:
    """A row of the table."""
    torch.manual_seed(0)
    make, count = MODELS[name]
    explainer = ready(make())
    with tempfile.TemporaryDirectory() as folder:
        source, rows = source_of(explainer, count, Path(folder))
        outs = (Path(folder) / f"out-{number}" for number in range(repeats + 2))

        def stream() -> None:
            explainer.explain_dataset(source, next(outs), batch_size=BATCH, block_rows=BLOCK, **options)

        stream(), bare(explainer, rows)  # to warm up
        scorer = scorer_alone(explainer, rows)
        calls = (lambda: bare(explainer, rows), stream, scorer)
        turns = [[seconds(call) for call in calls] for _ in range(repeats)]
        size = sum(p.stat().st_size for p in (Path(folder) / "out-0").rglob("*") if p.is_file())
        if profile:
            with cProfile.Profile() as found:
                stream()
            pstats.Stats(found).sort_stats("tottime").print_stats(45)
    alone, streamed = (min(turn[i][0] for turn in turns) for i in (0, 1))
    return {
        "model": name,
        "rows": count,
        "bare, rows a second": count / alone,
        "stream, rows a second": count / streamed,
        "stream ÷ bare": statistics.median(a[0] / b[0] for a, b, _ in turns),
        "by the clock": statistics.median(a[1] / b[1] for a, b, _ in turns),
        "scorer alone": statistics.median(a[0] / (a[0] + c[0]) for a, _, c in turns),
        "bytes a row": size / count,
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scores", help="type in which scores are stored")
    parser.add_argument("--profile", action="store_true", help="print where the time of one more stream goes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    options = {} if args.scores is None else {"scores": args.scores}
    rows = [measure(n, args.repeats, options, args.profile) for n in args.model or MODELS]
    rows = [{**row, **options, "threads": args.threads} for row in rows]
    told = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    Console(width=160).print(terminal(text_table(f"{args.threads} thread(s)", list(rows[0]), told)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
