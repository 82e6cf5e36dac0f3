"""How long does an exported explainer take, beside PyTorch and beside its classifier alone? What does int8 cost?

Random weights, one thread, one machine. All calls of a model take turns within one run, and every ratio is taken
within one turn, so that whatever else the machine does meets all alike. Time is that of the processor, which other
programs on the machine do not add to. The medians of the turns are printed.

    python benchmarks/export.py [--model minilm-l6 ...] [--batch 1 --batch 8] [--repeats 9] [--int8] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from rich.console import Console
from scipy.stats import spearmanr
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, ViTConfig, ViTForImageClassification

from sidelight import Explainer, ImageTransform, ScorerConfig
from sidelight.export.examples import Examples
from sidelight.export.graph import NamedInputs
from sidelight.export.module import CLASSES
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.models.fusion import FusionClassifier
from sidelight.targets import ImageTextProcessor, as_target
from sidelight.targets.base import TargetModel
from sidelight.training.network import scorer_of

#: tokens of a text
LENGTH = 128
#: seconds that the slowest call of a turn takes at least
SHORTEST = 0.1
SMALL = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
VIT_S = {**SMALL, "num_attention_heads": 6}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PICTURES = ImageTransform((224, 224))


def bert(layers: int = 6, **sizes: Any) -> TargetModel:
    """A random BERT of MiniLM's shapes."""
    config = BertConfig(**{**SMALL, "num_hidden_layers": layers, "num_labels": 3, **sizes})
    return as_target(BertForSequenceClassification(config).eval())


def vit(**sizes: Any) -> TargetModel:
    """A random ViT for 224 px."""
    return as_target(ViTForImageClassification(ViTConfig(**{"num_labels": 100, **sizes})).eval(), PICTURES)


def pair(text: TargetModel, image: TargetModel) -> TargetModel:
    """Both joined by two fusion layers."""
    model = FusionClassifier.from_encoders(text.model.bert, image.model.vit, width=256, layers=2, heads=8)
    return as_target(model.eval(), ImageTextProcessor(PICTURES))


MODELS: dict[str, Callable[[], TargetModel]] = {
    "tiny text": lambda: bert(**TINY, vocab_size=2000),
    "tiny image": lambda: vit(**TINY),
    "minilm-l6": bert,
    "minilm-l12": lambda: bert(12),
    "vit-s16": lambda: vit(**VIT_S),
    "vit-b16": vit,
    "vit-s16 + minilm-l6": lambda: pair(bert(), vit(**VIT_S)),
}
DEFAULT = ("minilm-l6", "minilm-l12", "vit-s16", "vit-b16", "vit-s16 + minilm-l6")


class Bare(nn.Module):
    """The classifier alone: its logits."""

    def __init__(self, target: TargetModel) -> None:
        super().__init__()
        self.model = target.model

    def forward(self, **inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**inputs).logits
        return logits


def explainer_of(name: str) -> Explainer:
    """The model with an untrained scorer, as `fit` makes it. Random weights cost as much as trained ones."""
    torch.manual_seed(0)
    target = MODELS[name]()
    sample = {"pixel_values": torch.randn(1, 3, 224, 224)} if "image" in target.modalities else {}
    if "text" in target.modalities:
        ids = torch.randint(5, 1000, (1, 8))
        sample |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Explainer(target, scorer_of(target, sample, ScorerConfig(by_class=True)))


def export_bare(target: TargetModel, examples: Examples, path: Path) -> None:
    """The classifier alone as ONNX, by the same exporter."""
    inputs = examples.inputs(3, 11)
    axes = {n: dict.fromkeys(a, torch.export.Dim.DYNAMIC) for n, a in examples.axes(inputs).items()}
    with torch.no_grad():
        program = torch.export.export(
            NamedInputs(Bare(target), list(inputs)), (), inputs, dynamic_shapes=axes
        )
        torch.onnx.export(
            program,
            f=str(path),
            input_names=list(inputs),
            opset_version=18,
            external_data=False,
            verbose=False,
        )


def session(path: Path) -> onnxruntime.InferenceSession:
    """The file in ONNX Runtime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def seconds(call: Callable[[], Any], times: int = 1) -> float:
    """How long a call takes the processor, over several times, because its clock is coarse."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def in_turns(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each call in each turn, after a turn to warm up. Short calls are made several times in a turn."""
    first = {name: seconds(call, 2) for name, call in calls.items()}
    times = max(1, round(SHORTEST / max(*first.values(), 1e-4)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            found[name].append(seconds(call, times))
    return found


def ratio(found: Mapping[str, list[float]], over: str, under: str) -> float:
    """Median over turns of one call's time divided by another's."""
    return statistics.median(a / b for a, b in zip(found[over], found[under], strict=True))


def measure(name: str, batches: list[int], repeats: int, int8: bool) -> list[dict[str, Any]]:
    """A row for each batch size."""
    explainer = explainer_of(name)
    target = explainer.target
    examples = Examples(target, explainer.scorer)
    with tempfile.TemporaryDirectory() as folder:
        paths = {kind: Path(folder) / f"{kind}.onnx" for kind in ("export", "bare", "int8")}
        explainer.export(paths["export"])
        export_bare(target, examples, paths["bare"])
        if int8:
            quantize_dynamic(paths["export"], paths["int8"], weight_type=QuantType.QInt8)
        sizes = {kind: path.stat().st_size / 2**20 for kind, path in paths.items() if path.exists()}
        sessions = {kind: session(path) for kind, path in paths.items() if path.exists()}
    module = explainer.module()
    rows = []
    for batch in batches:
        inputs = examples.inputs(batch, LENGTH, seed=1)
        row = timed(sessions, module, target, inputs, repeats)
        rows.append({"model": name, "batch": batch, **row, **{f"{k}_mb": v for k, v in sizes.items()}})
        if int8:
            rows[-1] |= quantised(sessions, examples)
    return rows


def timed(
    sessions: Mapping[str, Any],
    module: nn.Module,
    target: TargetModel,
    inputs: Mapping[str, Tensor],
    repeats: int,
) -> dict[str, float]:
    """Milliseconds and ratios of one batch."""
    fed = {k: v.numpy() for k, v in inputs.items()}
    batch = len(next(iter(fed.values())))
    chosen = {CLASSES: np.full(batch, -1)}

    def eager(call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            with torch.inference_mode():
                call()

        return run

    calls = {
        "export": lambda: sessions["export"].run(None, {**fed, **chosen}),
        "bare": lambda: sessions["bare"].run(None, fed),
        "eager_export": eager(lambda: module(**inputs)),
        "eager_bare": eager(lambda: target.model(**inputs)),
    }
    if "int8" in sessions:
        calls["int8"] = lambda: sessions["int8"].run(None, {**fed, **chosen})
    found = in_turns(calls, repeats)
    pairs = {
        "export ÷ bare": ("export", "bare"),
        "ONNX ÷ eager, explaining": ("export", "eager_export"),
        "ONNX ÷ eager, classifying": ("bare", "eager_bare"),
        "eager: explaining ÷ classifying": ("eager_export", "eager_bare"),
        **({"int8 ÷ float32": ("int8", "export")} if "int8" in sessions else {}),
    }
    times = {f"{k} ms": 1e3 * statistics.median(v) for k, v in found.items()}
    return {**{k: ratio(found, *pair) for k, pair in pairs.items()}, **times}


def quantised(sessions: Mapping[str, Any], examples: Examples, batches: int = 8) -> dict[str, float]:
    """How far the int8 file's answers lie from the float32 file's, over batches of four samples."""
    away: dict[str, list[float]] = {"map difference": [], "map correlation": [], "same verdict": []}
    away["probability difference"] = []
    for seed in range(batches):
        inputs = {k: v.numpy() for k, v in examples.inputs(4, LENGTH, seed=100 + seed).items()}
        fed = {**inputs, CLASSES: np.full(4, -1)}
        names = [o.name for o in sessions["export"].get_outputs()]
        exact, coarse = (
            dict(zip(names, sessions[k].run(None, fed), strict=True)) for k in ("export", "int8")
        )
        away["same verdict"] += list(map(float, exact["class"] == coarse["class"]))
        away["probability difference"] += list(abs(exact["probabilities"] - coarse["probabilities"]).max(1))
        # maps of one class, so that another verdict does not count as another map
        coarse = dict(zip(names, sessions["int8"].run(None, {**fed, CLASSES: exact["class"]}), strict=True))
        for modality in examples.target.modalities:
            for a, b in zip(exact[f"scores_{modality}"], coarse[f"scores_{modality}"], strict=True):
                away["map difference"].append(float(abs(a - b).mean()))
            for a, b in zip(exact[f"ranking_{modality}"], coarse[f"ranking_{modality}"], strict=True):
                away["map correlation"].append(float(spearmanr(a.ravel(), b.ravel()).statistic))
    return {name: float(np.mean(values)) for name, values in away.items()}


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", choices=list(MODELS))
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--int8", action="store_true", help="quantise too, and compare")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in args.model or DEFAULT:
        rows += measure(name, args.batch or [1, 8], args.repeats, args.int8)
    heads = list(rows[0])
    texts = [[v if isinstance(v, str) else f"{v:.3g}" for v in row.values()] for row in rows]
    Console(width=240).print(terminal(text_table("one thread, medians of interleaved turns", heads, texts)))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
