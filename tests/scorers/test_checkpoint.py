"""A scorer on disk: what is kept, what is refused, and what a full disk or a kill leaves behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers_training import TRANSFORM, classifier, corner_images, corner_tensor, saved_state
from sidelight import Explainer, ScorerConfig
from sidelight.errors import CheckpointError, SidelightError, TargetMismatchError
from sidelight.inputs.images import ImageTransform
from sidelight.scorers import Scorer
from sidelight.targets import as_target

IMAGES = list(corner_images(3, seed=5)[0])


def make(seed: int = 0, kind: str = "vit", processor: Any = TRANSFORM, config: Any = None) -> Explainer:
    target = as_target(classifier(kind), processor)
    torch.manual_seed(seed)
    return Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)}), config))


def maps(explainer: Explainer) -> np.ndarray:
    return np.stack([e.map for e in explainer.explain(IMAGES)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make().save_pretrained(tmp_path / "scorer")


def load(folder: Any, **options: Any) -> Explainer:
    return Explainer.from_pretrained(folder, model=options.pop("model", None) or classifier(), **options)


# -- round trip --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_round_trip_gives_the_same_maps(kind: str, tmp_path: Path) -> None:
    config = ScorerConfig(relu=False, decoder={"image": {"channels": [16, 8]}})
    explainer = make(3, kind, config=config)
    loaded = load(explainer.save_pretrained(tmp_path / "s"), model=classifier(kind))
    assert loaded.scorer.config.to_dict() == config.to_dict()
    np.testing.assert_array_equal(maps(loaded), maps(explainer))


def test_files_are_config_scorer_weights_and_card_only(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "scorer.safetensors"]
    explainer = make()
    assert set(saved_state(folder)) == set(explainer.scorer.state_dict())
    assert (folder / "scorer.safetensors").stat().st_size < 4 * explainer.scorer.num_parameters + 20_000
    config = json.loads((folder / "config.json").read_text())
    assert config["target"]["fingerprint"] == explainer.target.fingerprint()
    assert config["target"]["family"] == "image"
    assert "revision" in config["target"]


def trained_further(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    return model


def test_a_scorer_is_saved_for_the_weights_it_was_trained_beside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    explainer = make()
    trained_further(explainer.target.model)
    folder = explainer.save_pretrained(tmp_path / "s")
    assert "has other weights now than those that its scorer was trained beside" in caplog.text
    assert load(folder, model=classifier()).explain(IMAGES[0]).label
    with pytest.raises(TargetMismatchError):
        load(folder, model=explainer.target.model)


@pytest.mark.parametrize("change", [trained_further, nn.Module.half], ids=["trained further", "half"])
def test_a_scorer_that_was_loaded_beside_other_weights_keeps_its_own(
    change: Any, folder: Path, tmp_path: Path
) -> None:
    before = json.loads((folder / "config.json").read_text())["target"]
    loaded = load(folder, model=change(classifier()), check="warn")
    loaded.explain(IMAGES[0])
    again = json.loads((loaded.save_pretrained(tmp_path / "t") / "config.json").read_text())["target"]
    same = ("fingerprint", "shapes", "precision")
    assert [again[k] for k in same] == [before[k] for k in same]
    assert load(tmp_path / "t", model=classifier()).explain(IMAGES[0]).label


def test_weights_that_did_not_change_are_saved_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make().save_pretrained(tmp_path / "s")
    assert "other weights" not in caplog.text


def test_processor_is_remembered(tmp_path: Path) -> None:
    transform = ImageTransform((16, 16), mode="L", mean=(0.2,), std=(0.7,), crop=True, resize_to=20)
    explainer = make(processor=transform)
    loaded = load(explainer.save_pretrained(tmp_path / "s"))
    assert loaded.target.reader.transform == transform
    np.testing.assert_array_equal(maps(loaded), maps(explainer))
    other = load(tmp_path / "s", processor=TRANSFORM)
    assert other.target.reader.transform == TRANSFORM


def test_saving_again_replaces_the_whole_folder(folder: Path) -> None:
    make(1).save_pretrained(folder)
    np.testing.assert_array_equal(maps(load(folder)), maps(make(1)))
    assert [p.name for p in folder.parent.iterdir()] == ["scorer"]


def test_target_is_found_where_it_was(tmp_path: Path) -> None:
    from transformers import AutoModelForImageClassification

    classifier().save_pretrained(tmp_path / "classifier")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "classifier")
    target = as_target(model, TRANSFORM)
    explainer = Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)})))
    explainer.save_pretrained(tmp_path / "s")
    loaded = Explainer.from_pretrained(tmp_path / "s")
    np.testing.assert_array_equal(maps(loaded), maps(explainer))
    shutil.rmtree(tmp_path / "classifier")
    with pytest.raises(CheckpointError, match=r"classifier.*model=") as caught:
        Explainer.from_pretrained(tmp_path / "s")
    assert len(str(caught.value)) < 800
    np.testing.assert_array_equal(maps(load(tmp_path / "s")), maps(explainer))


def test_target_without_a_home_must_be_given(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ViTForImageClassification.*model="):
        Explainer.from_pretrained(folder)


def test_hub_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def download(repo: str, revision: str | None = None, **options: Any) -> str:
        asked.append((repo, revision, options["allow_patterns"]))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    loaded = load("someone/scorer", revision="v2")
    assert asked == [("someone/scorer", "v2", ["config.json", "scorer.safetensors", "processor.json"])]
    np.testing.assert_array_equal(maps(loaded), maps(make()))


def test_hub_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(*_: Any, **__: Any) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(CheckpointError, match=r"someone/scorer.*no network"):
        load("someone/scorer")
    with pytest.raises(CheckpointError, match="no scorer folder"):
        load("./nowhere/at-all")


# -- other targets -----------------------------------------------------------------------


def test_one_changed_weight_is_refused(folder: Path) -> None:
    model = classifier()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-6
    with pytest.raises(TargetMismatchError, match="trained beside"):
        load(folder, model=model)


def test_one_changed_buffer_is_refused(tmp_path: Path) -> None:
    make(kind="resnet").save_pretrained(tmp_path / "s")
    model = classifier("resnet")
    buffer = next(b for b in model.buffers() if b.dtype == torch.float32)
    buffer[0] += 1e-3
    with pytest.raises(TargetMismatchError):
        load(tmp_path / "s", model=model)


def test_another_architecture_is_refused(folder: Path) -> None:
    with pytest.raises(TargetMismatchError):
        load(folder, model=classifier("resnet"))


# -- damage ------------------------------------------------------------------------------


def rewrite(folder: Path, change: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_truncated_weights(share: float, folder: Path) -> None:
    path = folder / "scorer.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"scorer\.safetensors.*corrupt or truncated"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "scorer.safetensors"])
def test_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"config"', "\x00\x01", '{"format": "other"}'])
def test_broken_config(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("spec"),
        lambda c: c.pop("target"),
        lambda c: c.pop("scorer"),
        lambda c: c.update(scorer=[]),
        lambda c: c.update(target="vit"),
        lambda c: c["target"].pop("fingerprint"),
        lambda c: c["target"].pop("family"),
        lambda c: c["target"].update(family="sound"),
        lambda c: c["target"].update(processor={"sise": 3}),
        lambda c: c["spec"].update(states={"sound": []}),
        lambda c: c["spec"]["states"].update(image=[]),
        lambda c: c["scorer"].update(decoder={"image": {"chanels": [3]}}),
        lambda c: c["scorer"].update(decoder={"image": {"channels": [8]}}),
    ],
)
def test_config_that_lacks_or_garbles_a_part(change: Any, folder: Path) -> None:
    rewrite(folder, change)
    with pytest.raises(CheckpointError):
        load(folder)


def test_unknown_keys_of_a_later_version_are_ignored(folder: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["later"] = {"a": 1}
        config["scorer"]["later"] = True
        config["target"]["later"] = "x"
        config["spec"]["later"] = 0
        config["sidelight_version"] = "9.9"

    rewrite(folder, change)
    np.testing.assert_array_equal(maps(load(folder)), maps(make()))


# -- full disk, kill ---------------------------------------------------------------------


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["safetensors.torch.save_file", "os.replace", "pathlib.Path.write_bytes"])
def test_full_disk_keeps_the_old_scorer(call: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(CheckpointError, match="No space left"):
            make(1).save_pretrained(folder)
    np.testing.assert_array_equal(maps(load(folder)), maps(make(0)))
    assert [p.name for p in folder.parent.iterdir()] == ["scorer"]


def test_second_rename_failing_keeps_the_old_scorer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, rename = [], os.replace

    def second_fails(a: Any, b: Any) -> None:
        calls.append(b)
        if os.fspath(b) == os.fspath(folder) and os.fspath(a).endswith(".tmp"):
            full()
        rename(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", second_fails)
        with pytest.raises(SidelightError):
            make(1).save_pretrained(folder)
    assert len(calls) >= 2
    np.testing.assert_array_equal(maps(load(folder)), maps(make(0)))


class Killed(BaseException):
    """Stands for a kill: no handler runs to its end."""


@pytest.mark.parametrize("moment", range(3))
def test_kill_during_save_leaves_the_old_scorer_or_the_new(
    moment: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the first rename, between the two, and after them."""
    rename, done = os.replace, [0]

    def stop_at(a: Any, b: Any) -> None:
        if os.fspath(a).endswith("config.json") or "config.json" in os.path.basename(b):
            return rename(a, b)
        if done[0] == moment:
            raise Killed
        done[0] += 1
        return rename(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stop_at)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        if moment < 2:
            with pytest.raises(Killed):
                make(1).save_pretrained(folder)
        else:
            make(1).save_pretrained(folder)
    np.testing.assert_array_equal(maps(load(folder)), maps(make(1 if moment == 2 else 0)))
    # and the next save works in spite of what lies about
    make(2).save_pretrained(folder)
    np.testing.assert_array_equal(maps(load(folder)), maps(make(2)))


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="could not write"):
        make().save_pretrained(tmp_path / "file" / "scorer")


def test_loaded_scorer_is_ready_for_use(folder: Path) -> None:
    loaded = load(folder)
    assert not loaded.scorer.training
    assert isinstance(loaded.scorer, nn.Module)
    assert loaded.training_metrics == {}


def test_a_folder_near_a_scorer_is_told_from_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"further down: give '.*scorer'"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty' holds no scorer.*save_pretrained"):
        load(tmp_path / "empty")
    classifier().save_pretrained(tmp_path / "classifier")
    with pytest.raises(CheckpointError, match=r"not a sidelight scorer.*save_pretrained of an explainer"):
        load(tmp_path / "classifier")
