"""How long does a new user wait for the first picture of an input of their own? Five lines, from the start of Python to the file.

The stand-in for the user's classifier has the shape of MiniLM-L6 or of MobileNetV2 at 224 px, and learns a made-up task
first, which is not timed. Then a new process runs the five lines in an empty folder: imports, the model from its folder,
a training with ``budget="minute"``, one explanation, and its picture.

    python benchmarks/first_picture.py [--threads 2] [--json FILE] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    MobileNetV2ImageProcessor,
)

from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))
from tiny import learn, pictures, texts, tokenizer  # noqa: E402

#: seconds that a person may wait
PROMISED = 90
ROWS = 600
TEXT = """\
from sidelight import Explainer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model, words = AutoModelForSequenceClassification.from_pretrained("model"), AutoTokenizer.from_pretrained("model")
explainer = Explainer.fit(model, "texts.csv", processor=words, budget="minute")
explainer.explain("this film was rather thrilling").save("why")
"""
IMAGE = """\
from sidelight import Explainer
from transformers import AutoModelForImageClassification, AutoImageProcessor
model, pixels = AutoModelForImageClassification.from_pretrained("model"), AutoImageProcessor.from_pretrained("model")
explainer = Explainer.fit(model, "photos", processor=pixels, budget="minute")
explainer.explain("photo.png").save("why")
"""


def text_folder(folder: Path) -> str:
    """A classifier and a table of texts, as a user has them. Returns the five lines."""
    words, rows = tokenizer(), texts(ROWS)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        id2label={0: "bad", 1: "good"},
    )
    model = BertForSequenceClassification(config)
    some = rows[:96]
    read = words([row["text"] for row in some], padding=True, return_tensors="pt")
    learn(model, dict(read), some, steps=40, rate=2e-4)
    model.save_pretrained(folder / "model")
    words.save_pretrained(folder / "model")
    lines = ["text", *(row["text"] for row in rows)]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return TEXT


def image_folder(folder: Path) -> str:
    """A classifier and a folder of pictures, as a user has them. Returns the five lines."""
    rows = pictures(ROWS)
    processor = MobileNetV2ImageProcessor(
        size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
    )
    model = MobileNetV2ForImageClassification(MobileNetV2Config(id2label={0: "red", 1: "blue"}))
    some = rows[:32]
    learn(
        model, dict(processor([row["image"] for row in some], return_tensors="pt")), some, steps=20, rate=1e-3
    )
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    (folder / "photos").mkdir()
    for number, row in enumerate(rows):
        row["image"].save(folder / "photos" / f"{number}.png")
    rows[0]["image"].save(folder / "photo.png")
    return IMAGE


def waited(kind: str, folder: Path, threads: int) -> dict[str, Any]:
    """Seconds from the start of a new process to the picture. Raises if there is none."""
    torch.manual_seed(0)
    lines = {"text": text_folder, "image": image_folder}[kind](folder)
    settings = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", lines], cwd=folder, env=settings, check=True)
    seconds = time.perf_counter() - start
    if not (folder / "why.png").is_file():
        raise SystemExit(f"{kind}: the five lines made no picture in {folder}.")
    return {"input": kind, "lines": len(lines.splitlines()), "seconds": round(seconds, 1), "threads": threads}


def main() -> None:
    """Measure both, print a table, write JSON if asked. Exits with 1 if a person waits longer than promised."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for models, pictures and maps (default: removed)")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ("text", "image"):
            folder = (args.keep or Path(scratch)) / kind
            folder.mkdir(parents=True)
            rows.append(waited(kind, folder, args.threads))
    heads = list(rows[0])
    told = [[str(value) for value in row.values()] for row in rows]
    Console(width=120).print(terminal(text_table(f"first picture, promised in {PROMISED} s", heads, told)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    if any(row["seconds"] > PROMISED for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
