"""The same files from a Ray cluster: on this machine, after a kill, and with a node that is killed in between.

Each test starts a cluster in a process of its own, so that nothing of it is left.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from sidelight import Explainer, ScorerConfig, read_explanations
from sidelight.targets import as_target
from sidelight.training.network import new_scorer
from text_models import TEXTS, make_pair

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'sidelight[ray]'"),
]

#: a job on a cluster of two nodes beside the head, one of which is killed after some files if the last argument says so
WORKER = """
import json, pathlib, sys, threading, time
import torch
torch.set_num_threads(1)
import ray
from ray.cluster_utils import Cluster
from sidelight import Explainer

out, kill = pathlib.Path(sys.argv[1]), sys.argv[2] == "kill"
cluster = Cluster(initialize_head=True, head_node_args={{"num_cpus": 0}})
nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
ray.init(address=cluster.address, log_to_driver=False)

def finished():
    place = out / "manifest.json"
    return len(json.loads(place.read_text())["ends"]) if place.is_file() else 0

def lose():
    while finished() < 3:
        time.sleep(0.01)
    at = finished()
    cluster.remove_node(nodes[0], allow_graceful=False)
    print("killed after", at, flush=True)

if kill:
    threading.Thread(target=lose, daemon=True).start()
explainer = Explainer.from_pretrained({scorer!r})
explainer.explain_dataset({source!r}, out, block_rows=8, batch_size=4, engine="ray", workers=2)
print("alive", sum(node["Alive"] for node in ray.nodes()))
ray.shutdown()
cluster.shutdown()
"""


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".sidelight"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(files)}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, bytes]]:
    """The program, and the files of the local engine."""
    folder = tmp_path_factory.mktemp("ray")
    model, tokenizer = make_pair("bert")
    model.save_pretrained(folder / "model")
    target = as_target(str(folder / "model"), tokenizer)
    explainer = Explainer(target, new_scorer(target, TEXTS[:1], ScorerConfig(by_class=True)))
    scorer, source = explainer.save_pretrained(folder / "s"), folder / "t.csv"
    rows = [f"{text} {number}" for number in range(640) for text in TEXTS[:3]]
    pd.DataFrame({"text": [*rows, ""]}).to_csv(source, index=False)
    loaded = Explainer.from_pretrained(scorer)
    loaded.explain_dataset(source, folder / "local", block_rows=8, batch_size=4)
    return WORKER.format(scorer=str(scorer), source=str(source)), tree(folder / "local")


def start(code: str, out: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(out), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def same(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.timeout(600)
def test_a_node_is_killed_in_between(job: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    said, errors = start(job[0], tmp_path / "out", "kill").communicate(timeout=580)
    assert "killed after" in said, errors
    assert int(said.split("killed after ")[1].split()[0]) < len(job[1]) - 5, "the kill came too late"
    assert (
        "a worker of the Ray cluster was lost" in errors
    )  # the cluster may count its node as alive for a while
    same(tree(tmp_path / "out"), job[1])
    assert len(read_explanations(tmp_path / "out")) == 1921


@pytest.mark.timeout(600)
def test_a_job_on_a_cluster_is_killed_and_goes_on(job: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(job[0], out, "keep")
    done = 0
    while process.poll() is None and done < 5:
        place = out / "manifest.json"
        done = len(json.loads(place.read_text())["ends"]) if place.is_file() else 0
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    said, errors = start(job[0], out, "keep").communicate(timeout=500)
    assert "alive 3" in said, errors
    same(tree(out), job[1])
