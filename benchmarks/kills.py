"""Does a job of very many rows survive kills, with the same bytes, and does its memory stay flat?

Random weights, a two-layer BERT and a two-layer ViT for 64 px, so that the rows and not the models are what is tried.
`sidelight explain --parquet` runs once without a kill. Then it runs again and is killed by -9 at random moments, and
called again each time. All files of both runs are compared. While the first runs, its memory is sampled: the peak of each
twentieth of the job is compared with that of the first one after its first block.

With `--engine ray` the second run has a cluster on this machine, with two nodes beside the head. One node is killed too,
after a random number of rows, and does not come back. Time and memory are those of the first run, which is local.

    python benchmarks/kills.py [--texts 100000] [--images 20000] [--kills 3] [--engine ray] [--json FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from rich.console import Console
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

from live import WORDS, tokenizer
from sidelight import Explainer, ImageTransform, ScorerConfig, read_explanations
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.targets import as_target
from sidelight.training.network import new_scorer

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
SIDE = 64
#: rows of a block
BLOCK = 256
#: parts of a job whose peaks of memory are compared
PARTS = 20
#: a kill comes up to so many seconds after a block, so that it meets any moment of the next ones
BLOCK_SECONDS = 1.0
#: each so many rows one is bad
BAD = 1009


def text_model(folder: Path) -> Path:
    """A saved scorer beside a saved BERT."""
    own = tokenizer()
    model = BertForSequenceClassification(BertConfig(**SIZES, vocab_size=len(own), num_labels=3)).eval()
    model.save_pretrained(folder / "bert")
    own.save_pretrained(folder / "bert")
    target = as_target(str(folder / "bert"), own)
    config = ScorerConfig(by_class=True, decoder={"text": {"width": 32, "layers": 1}})
    return Explainer(target, new_scorer(target, ["a good film"], config)).save_pretrained(folder / "texts")


def image_model(folder: Path) -> Path:
    """A saved scorer beside a saved ViT."""
    model = ViTForImageClassification(ViTConfig(**SIZES, image_size=SIDE, num_labels=10)).eval()
    model.save_pretrained(folder / "vit")
    target = as_target(str(folder / "vit"), ImageTransform((SIDE, SIDE)))
    config = ScorerConfig(by_class=True)
    return Explainer(target, new_scorer(target, [picture(0)], config)).save_pretrained(folder / "images")


def picture(seed: int) -> Image.Image:
    """A small picture of smooth colours."""
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def jpeg(seed: int) -> bytes:
    """The content of a file with a picture."""
    file = io.BytesIO()
    picture(seed).save(file, "JPEG")
    return file.getvalue()


def texts(count: int) -> Iterator[dict[str, Any]]:
    """Rows of texts of several lengths, some of them empty."""
    draw = np.random.default_rng(0)
    for number in range(count):
        words = " ".join(draw.choice(WORDS, draw.integers(3, 30)))
        yield {"id": f"t{number}", "text": "" if number % BAD == BAD - 1 else words}


def images(count: int) -> Iterator[dict[str, Any]]:
    """Rows of pictures, some of them broken."""
    files = [jpeg(seed) for seed in range(64)]
    for number in range(count):
        whole = files[number % 64]
        yield {"id": f"i{number}", "image": whole[:99] if number % BAD == BAD - 1 else whole}


def write(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    """A Parquet file of the rows, in groups."""
    held = list(rows)
    pq.write_table(pa.Table.from_pylist(held), path, row_group_size=5_000)
    return path


def start(scorer: Path, source: Path, out: Path, engine: str) -> subprocess.Popen[bytes]:
    """The command, as a process of its own."""
    command = [sys.executable, "-m", "sidelight.cli", "explain", str(scorer), "--parquet", str(source)]
    command += ["--out", str(out), "--block-rows", str(BLOCK), "--engine", engine]
    with (out.parent / f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


@contextmanager
def cluster(engine: str) -> Iterator[Callable[[], None] | None]:
    """Two nodes of Ray for what starts within, and what kills one of them. Nothing if the engine is another."""
    if engine != "ray":
        yield None
        return
    from ray.cluster_utils import Cluster  # only here: the extra may be missing

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    os.environ["RAY_ADDRESS"] = made.address
    try:
        yield lambda: made.remove_node(nodes[0], allow_graceful=False)
    finally:
        made.shutdown()


def finished(out: Path) -> int:
    """Rows that the manifest of a job names."""
    try:
        return int((json.loads((out / "manifest.json").read_text())["ends"] or [0])[-1])
    except (OSError, ValueError):
        return 0


def whole_run(process: subprocess.Popen[bytes], out: Path) -> tuple[float, list[tuple[int, float]]]:
    """Seconds of a run, and after each block its rows so far and the memory in MB of the process."""
    begin, found, watched = time.perf_counter(), list[tuple[int, float]](), psutil.Process(process.pid)
    while process.poll() is None:
        try:
            found.append((finished(out), watched.memory_info().rss / 2**20))
        except psutil.Error:
            break
        time.sleep(0.1)
    if process.wait():
        raise SystemExit(f"the job failed: {(out.parent / f'{out.name}.log').read_text()[-2000:]}")
    return time.perf_counter() - begin, found


def peaks(found: list[tuple[int, float]], count: int) -> list[float]:
    """Peak of memory in each part of the job, after its first block. The last part holds the writing of tables."""
    parts: list[list[float]] = [[] for _ in range(PARTS + 1)]
    for rows, memory in found:
        if rows > BLOCK:
            parts[rows * PARTS // count].append(memory)
    return [max(part) for part in parts if part]


def wait_for(process: subprocess.Popen[bytes], out: Path, wanted: float) -> None:
    """Until so many rows are finished, and up to a block longer."""
    while finished(out) < wanted and process.poll() is None:
        time.sleep(0.02)
    time.sleep(random.uniform(0, BLOCK_SECONDS))


def killed_run(
    asked: tuple[Path, Path, Path, str], kills: int, count: int, lose: Callable[[], None] | None
) -> tuple[list[int], int | None]:
    """Kill and call again. The rows that were finished at each kill, and when a node was lost: at random numbers of rows."""
    ends, lost, out = [], None, asked[2]
    for number in range(kills):
        process, before = start(*asked), finished(out)
        wanted = before + random.random() * (count - before) / (kills + 1 - number)
        if lose and lost is None:
            wait_for(process, out, before + random.random() * (wanted - before))
            lost = finished(out)
            lose()
        wait_for(process, out, wanted)
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            raise SystemExit("the job ended before it was killed: give it more rows")
        ends.append(finished(out))
    whole_run(start(*asked), out)
    return ends, lost


def digests(out: Path) -> dict[str, str]:
    """A hash of each file of a job, but for those of its lock and digests."""
    files = (p for p in out.rglob("*") if p.is_file() and not p.name.startswith(".sidelight"))
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def measure(kind: str, count: int, kills: int, engine: str, folder: Path) -> dict[str, Any]:
    """A row of the table."""
    torch.manual_seed(0)
    scorer = (text_model if kind == "texts" else image_model)(folder)
    source = write(folder / f"{kind}.parquet", (texts if kind == "texts" else images)(count))
    whole, killed = folder / f"{kind}-whole", folder / f"{kind}-killed"
    seconds, memory = whole_run(start(scorer, source, whole, "local"), whole)
    with cluster(engine) as lose:
        ends, lost = killed_run((scorer, source, killed, engine), kills, count, lose)
    one, other = digests(whole), digests(killed)
    flat = peaks(memory, count)
    return {
        "rows": f"{count} {kind}",
        "engine": engine,
        "seconds": seconds,
        "rows a second": count / seconds,
        "MB after the first block": flat[0],
        "most MB ÷ that": max(flat) / flat[0],
        "least MB ÷ that": min(flat) / flat[0],
        "killed after rows": ", ".join(map(str, ends)),
        "node lost after rows": lost,
        "files": len(one),
        "files that differ": ", ".join(sorted(k for k in {*one, *other} if one.get(k) != other.get(k))) or 0,
        "rows read back": len(read_explanations(killed)),
        "bad rows": sum(1 for _ in read_explanations(killed).errors()),
        "peaks MB": [round(peak) for peak in flat],
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--engine", default="local")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    random.seed(args.seed)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        counts = {"texts": args.texts, "images": args.images}
        rows = [measure(k, n, args.kills, args.engine, Path(folder)) for k, n in counts.items() if n]
    told = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    sides = [[head, *(line[i] for line in told)] for i, head in enumerate(rows[0])]
    Console(width=160).print(terminal(text_table("kills", ["", *(row["rows"] for row in rows)], sides)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
