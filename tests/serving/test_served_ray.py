"""The application on Ray Serve, which makes it on its replica. Left out if Ray is not installed."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
pytest.importorskip("ray.serve", reason="Ray Serve is not installed")

import httpx

import text_models
from face_toys import text_explainer
from serving_toys import TEXTS, assert_same
from sidelight import Explainer
from sidelight.serving import opened


@pytest.mark.slow
def test_a_replica_answers(tmp_path: Path) -> None:
    import ray
    from ray import serve

    explainer = text_explainer()
    explainer.save_pretrained(tmp_path / "scorer")
    explainer.target.model.save_pretrained(tmp_path / "model")
    text_models.make_pair("bert")[1].save_pretrained(tmp_path / "model")
    model = str(tmp_path / "model")

    def build():
        load = functools.partial(Explainer.from_pretrained, model=model)
        return opened({"texts": str(tmp_path / "scorer")}, open_one=load)

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": 8127})
        serve.run(serve.deployment(serve.ingress(build)()).bind(), name="texts", route_prefix="/")
        place = "http://127.0.0.1:8127"
        found = httpx.post(f"{place}/explain", json={"text": TEXTS[0]}, timeout=60)
        assert found.status_code == 200
        expected = explainer.explain(TEXTS[0]).to_dict()
        assert_same(found.json(), expected)
        assert httpx.get(f"{place}/health", timeout=10).json()["status"] == "ok"
        assert 'sidelight_requests_total{place="/explain"' in httpx.get(f"{place}/metrics", timeout=10).text
    finally:
        serve.shutdown()
        ray.shutdown()
