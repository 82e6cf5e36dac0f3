"""``sidelight serve``: what is served, that only this machine reaches it, and that a signal stops it in order."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")

import httpx

from cli_tools import sidelight
from serving_toys import one
from sidelight.cli import serve
from sidelight.errors import ConfigError
from sidelight.inputs.limits import MAX_BYTES, MAX_CHARACTERS, MAX_PIXELS
from sidelight.serving import ServeOptions, running


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments with which the application is served. Nothing is."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(
        running, "serve", lambda app, host, port, told: found.update(app=app, host=host, port=port)
    )
    return found


def test_runs_are_served_on_this_machine(runs: tuple[Path, Path], served: dict[str, Any]) -> None:
    result = sidelight("serve", *runs, "--wait", "10", "--max-bytes", "1000")
    assert result.code == 0, result.err
    assert "warning" not in result.out
    assert (served["host"], served["port"]) == ("127.0.0.1", 8000)
    options = served["app"].state.service.options
    assert (options.wait, options.limits.bytes) == (0.01, 1000)
    told = one(served["app"], method="GET", url="/health").json()["models"]
    assert {name: about["reads"] for name, about in told.items()} == {
        "pictures": ["image"],
        "texts": ["text"],
    }
    found = one(served["app"], json={"model": "texts", "text": "some words"})
    assert found.status_code == 200


def test_other_machines_without_a_token_are_warned_of(
    runs: tuple[Path, Path], served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = sidelight("serve", runs[1], "--host", "0.0.0.0", "--port", "0")
    assert "requests need no token" in told.out
    monkeypatch.setenv("SERVE_TEST_TOKEN", "long-secret")
    told = sidelight("serve", runs[1], "--host", "0.0.0.0", "--token-from", "SERVE_TEST_TOKEN")
    assert "warning" not in told.out
    assert "long-secret" not in told.out + told.err
    assert one(served["app"], json={"text": "some words"}).status_code == 401


def test_bad_calls_are_named(runs: tuple[Path, Path], tmp_path: Path, served: dict[str, Any]) -> None:
    assert sidelight("serve", tmp_path / "nothing").code == 2
    missing = sidelight("serve", runs[1], "--token-from", "NOT_SET_ANYWHERE")
    assert missing.code == 2
    assert "NOT_SET_ANYWHERE" in missing.err
    with pytest.raises(ConfigError, match="--model goes with one RUN"):
        serve.make_app(list(runs), "model", ServeOptions())
    assert not served


def test_a_missing_package_is_named(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = sidelight("serve", runs[0])
    assert result.code == 2
    assert "prometheus-client" in result.err
    assert "pip install 'sidelight[serve]'" in result.err


def test_defaults_of_the_command_are_those_of_the_library() -> None:
    given = {name: p.default for name, p in inspect.signature(serve.run).parameters.items()}
    found = tuple(given[f"max_{name}"] for name in ("characters", "bytes", "pixels"))
    assert found == (MAX_CHARACTERS, MAX_BYTES, MAX_PIXELS)
    own = ServeOptions()
    assert given["wait"] == 1000 * own.wait
    for name in ("batch_size", "queue", "timeout", "verify", "token_from"):
        assert given[name] == getattr(own, name)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_the_command_serves_and_stops_at_a_signal(runs: tuple[Path, Path]) -> None:
    code = "import sys; from sidelight.cli import main; sys.argv[0] = 'sidelight'; main()"
    command = [sys.executable, "-c", code, "serve", str(runs[1]), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            place = line.removeprefix("serving ").split("/docs")[0]
            assert place.startswith("http://127.0.0.1:"), line
            found = httpx.post(f"{place}/explain", json={"text": "some words"}, timeout=60)
            assert found.status_code == 200
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in errors
