"""``sidelight app``: which explainers and examples the page gets, and that it is served on this machine only."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest

from cli_tools import sidelight
from sidelight.cli import live
from sidelight.core.addresses import listening_socket
from sidelight.errors import ConfigError, MissingPackageError
from sidelight.inputs.limits import MAX_BYTES, MAX_CHARACTERS, MAX_PIXELS, Limits
from sidelight.lab.runs.run import Run

gradio = pytest.importorskip("gradio", reason="the extra app is not installed")


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments with which the page is served. Nothing is."""
    found: dict[str, Any] = {}

    def launch(self: Any, **given: Any) -> tuple[None, str, str]:
        found.update(given, page=self)
        return None, "http://127.0.0.1:1234/", ""

    monkeypatch.setattr(gradio.Blocks, "launch", launch)
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda self: None)
    return found


def test_it_is_served_on_this_machine_without_reports(
    runs: tuple[Path, Path], launched: dict[str, Any]
) -> None:
    result = sidelight("app", *runs, "--max-bytes", "1000", "--examples", "2")
    assert result.code == 0, result.err
    assert "page: http://127.0.0.1:1234/" in result.out
    assert launched["server_name"] == "127.0.0.1"
    assert launched["share"] is launched["run_history"] is launched["inbrowser"] is False
    assert launched["max_file_size"] == 1000
    assert launched["page"].analytics_enabled is False


def test_address_and_port_can_be_chosen(runs: tuple[Path, Path], launched: dict[str, Any]) -> None:
    with listening_socket("0.0.0.0", 0) as once:
        port = once.getsockname()[1]  # free from here on
    result = sidelight("app", runs[0], "--host", "0.0.0.0", "--port", port, "--open", "--examples", "0")
    assert result.code == 0, result.err
    assert (launched["server_name"], launched["server_port"], launched["inbrowser"]) == (
        "0.0.0.0",
        port,
        True,
    )


def test_an_address_that_cannot_be_served_is_told(runs: tuple[Path, Path], launched: dict[str, Any]) -> None:
    with listening_socket("127.0.0.1", 0) as other:
        taken = sidelight("app", runs[0], "--port", other.getsockname()[1], "--examples", "0")
    unknown = sidelight("app", runs[0], "--host", "nowhere.invalid", "--examples", "0")
    impossible = sidelight("app", runs[0], "--host", f"{'a' * 70}.org", "--examples", "0")
    for result in (taken, unknown, impossible):
        assert result.code == 2
        assert "Choose another host or port" in result.err.replace("\n", " ")
    assert not launched


def test_examples_are_test_rows_of_the_run(runs: tuple[Path, Path]) -> None:
    rows = live._examples(runs[1], 3, None)
    assert [r["text"] for r in rows] == [r["text"] for r in Run.open(runs[1]).rows("test", 3)]
    assert live._examples(runs[1] / "scorer-0" / "scorer", 3, None) == []


def test_stored_explanations(runs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\nsome words to explain\nother words\n", encoding="utf-8")
    done = sidelight("explain", runs[1], "--csv", tmp_path / "rows.csv", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = live._examples(runs[1], 5, tmp_path / "out")
    assert ["".join(e.inputs["text"]) for e in found] == ["some words to explain", "other words"]


def test_names_of_folders() -> None:
    folders = [Path("a/films"), Path("b/films"), Path("c"), Path("d/films")]
    assert list(live.unique_names(folders)) == ["films", "films (2)", "c", "films (3)"]


def test_no_folder_takes_the_name_of_another() -> None:
    """Copies of folders are called "films (2)". The number of a second "films" put its model in the place of that one."""
    folders = [Path("films (2)"), Path("a/films"), Path("b/films")]
    for given in (folders, folders[::-1], [*folders[1:], folders[0]]):
        found = live.unique_names(given)
        assert list(found.values()) == given
        assert sorted(found) == ["films", "films (2)", "films (3)"]
        assert found["films (2)"] == folders[0]


def test_bad_calls_are_named(runs: tuple[Path, Path], tmp_path: Path, launched: dict[str, Any]) -> None:
    missing = sidelight("app", tmp_path / "nothing")
    assert missing.code == 2
    assert "nothing" in missing.err
    with pytest.raises(ConfigError, match="--model and --stored go with one RUN"):
        live.make_page(runs, "model", 0, None, Limits())
    assert "page" not in launched


def test_a_missing_package_is_named(runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    result = sidelight("app", runs[0])
    assert result.code == 2
    assert "pip install 'sidelight[app]'" in result.err


def test_without_the_laboratory_the_page_has_no_other_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    assert live._comparing() is not None
    monkeypatch.delitem(sys.modules, "sidelight.lab")
    monkeypatch.setitem(sys.modules, "captum", None)
    assert live._comparing() is None
    with pytest.raises(MissingPackageError):
        import sidelight.lab  # noqa: F401


def test_limits_of_the_command_are_those_of_the_library() -> None:
    given = {name: p.default for name, p in inspect.signature(live.run).parameters.items()}
    found = tuple(given[f"max_{name}"] for name in ("characters", "bytes", "pixels"))
    assert found == (MAX_CHARACTERS, MAX_BYTES, MAX_PIXELS)
