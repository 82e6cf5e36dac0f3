"""Pushing to the hub and loading from it, without a network: a stand-in for the client, and the cache's own layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import HfApi, constants, errors

import sidelight
from helpers_training import TRANSFORM, classifier, corner_images, corner_tensor
from sidelight import Explainer
from sidelight.errors import CheckpointError, ConfigError, ForeignFileError, TargetMismatchError
from sidelight.hub.card import MAPS
from sidelight.scorers import Scorer
from sidelight.targets import as_target
from text_models import TEXTS, make_pair

IMAGES = list(corner_images(2, seed=5)[0])
COMMIT = "0123456789abcdef0123456789abcdef01234567"

ASKED = httpx.Request("GET", "http://hub")


def refusal(status: int) -> Exception:
    """The client's error for an answer of the hub. The client may have a transport of its own."""
    error = errors.HfHubHTTPError(
        f"Error {status}\n\nMake sure of it.",
        response=httpx.Response(status, request=ASKED),  # type: ignore[arg-type]
        server_message="quota of me",
    )
    return error


def without_network(cause: Exception) -> Exception:
    """The client's error if a file is not in its cache and the hub gave no answer that it can use."""
    error = errors.LocalEntryNotFoundError("not in the cache")
    error.__cause__ = cause
    return error


def make(model: Any = None) -> Explainer:
    target = as_target(model or classifier(), TRANSFORM)
    torch.manual_seed(0)
    return Explainer(target, Scorer(target.spec({"pixel_values": corner_tensor(1)})))


class Hub:
    """A hub of folders. It takes the client's place, and refuses calls that the real one does not know."""

    def __init__(self, root: Path) -> None:
        self.root, self.calls, self.error = root, [], None
        root.mkdir()

    def __call__(self, **options: Any) -> Any:
        self.calls.append(("HfApi", options))
        names = ("create_repo", "create_branch", "file_exists", "hf_hub_download", "upload_folder")
        return SimpleNamespace(**{name: self._checked(name) for name in names})

    def _checked(self, name: str) -> Any:
        import inspect

        real = inspect.signature(getattr(HfApi, name))

        def call(*args: Any, **options: Any) -> Any:
            real.bind(None, *args, **options)
            self.calls.append((name, options))
            if self.error is not None:
                raise self.error
            return getattr(self, f"_{name}")(*args, **options)

        return call

    def _create_repo(self, repo_id: str, private: bool | None, exist_ok: bool) -> Any:
        full = repo_id if "/" in repo_id else f"me/{repo_id}"
        (self.root / full).mkdir(parents=True, exist_ok=exist_ok)
        return SimpleNamespace(repo_id=full)

    def _create_branch(self, repo_id: str, **options: Any) -> None:
        assert options["exist_ok"]

    def _file_exists(self, repo_id: str, name: str, revision: str | None = None) -> bool:
        return (self.root / repo_id / name).is_file()

    def _hf_hub_download(self, repo_id: str, name: str, revision: str | None = None) -> str:
        return str(self.root / repo_id / name)

    def _upload_folder(self, repo_id: str, folder_path: Path, **options: Any) -> Any:
        from huggingface_hub.utils import filter_repo_objects

        names = [p.relative_to(folder_path).as_posix() for p in folder_path.rglob("*") if p.is_file()]
        for name in filter_repo_objects(names, ignore_patterns=options["ignore_patterns"]):
            place = self.root / repo_id / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder_path / name, place)
        address = f"https://huggingface.co/{repo_id}/commit/{COMMIT}"
        return SimpleNamespace(commit_url=address, pr_url=f"{address}-pr" if options["create_pr"] else None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    found = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", found)
    return found


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_push_uploads_scorer_and_card(hub: Hub) -> None:
    options: dict[str, Any] = {"private": True, "token": "hf_x", "commit_message": "First"}
    address = make().push_to_hub("scorer", card={"license": "mit", "samples": IMAGES[:1]}, **options)
    assert address == f"https://huggingface.co/me/scorer/commit/{COMMIT}"
    place = hub.root / "me" / "scorer"
    assert files(place) == ["README.md", "config.json", "scorer.safetensors", f"{MAPS}/sample-1.png"]
    calls = dict(hub.calls)
    assert calls["HfApi"]["token"] == "hf_x"
    assert calls["create_repo"]["private"] is True
    assert calls["upload_folder"]["commit_message"] == "First"
    assert "hf_x" not in "".join(p.read_text("utf-8", "replace") for p in place.rglob("*") if p.is_file())
    found = sidelight.load(place, classifier()).explain(IMAGES[0])
    np.testing.assert_array_equal(found.map, make().explain(IMAGES[0]).map)


def test_paths_of_this_machine_stay_here(hub: Hub, tmp_path: Path) -> None:
    classifier().save_pretrained(tmp_path / "private-folder" / "vit")
    target = as_target(str(tmp_path / "private-folder" / "vit"), TRANSFORM)
    explainer = Explainer(target, make().scorer)
    explainer.push_to_hub("me/scorer")
    place = hub.root / "me" / "scorer"
    told = (place / "config.json").read_text() + (place / "README.md").read_text()
    assert "private-folder" not in told
    assert json.loads((place / "config.json").read_text())["target"]["name"] == "vit"
    with pytest.raises(CheckpointError, match=r"'vit'.*pass the classifier"):
        sidelight.load(place)


def test_a_branch_and_a_pull_request(hub: Hub) -> None:
    make().push_to_hub("me/scorer", revision="v2")
    assert ("create_branch", {"branch": "v2", "exist_ok": True}) in hub.calls
    assert make().push_to_hub("me/scorer", create_pr=True).endswith("-pr")


def test_a_persons_card_there_stays(hub: Hub) -> None:
    explainer, place = make(), hub.root / "me" / "scorer"
    explainer.push_to_hub("me/scorer")
    generated = (place / "README.md").read_text()
    explainer.push_to_hub("me/scorer", card={"license": "mit"})
    assert (place / "README.md").read_text() != generated
    (place / "README.md").write_text("my own words")
    explainer.push_to_hub("me/scorer", overwrite=True, card={"samples": IMAGES[:1]})
    assert (place / "README.md").read_text() == "my own words"
    assert not (place / MAPS).exists()


def test_the_classifiers_own_repository_is_refused(hub: Hub) -> None:
    classifier().save_pretrained(hub.root / "me" / "vit")
    before = (hub.root / "me" / "vit" / "config.json").read_bytes()
    with pytest.raises(ForeignFileError, match=r"me/vit-scorer.*overwrite=True"):
        make().push_to_hub("me/vit")
    assert (hub.root / "me" / "vit" / "config.json").read_bytes() == before
    assert "scorer.safetensors" not in files(hub.root / "me" / "vit")


@pytest.mark.parametrize("name", ["", "a b", "/tmp/x", "a/b/c", 3])
def test_ids_that_are_none(hub: Hub, name: Any) -> None:
    with pytest.raises(ConfigError, match="owner/name"):
        make().push_to_hub(name)
    assert hub.calls == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set"),
        (errors.LocalTokenNotFoundError("no token"), "hf auth login"),
        (ConnectionError("no route"), "hf auth login"),
        (refusal(429), "Wait some minutes"),
        (refusal(412), "Call again"),
        (refusal(503), "fault of its own"),
        (refusal(403), "quota of me"),  # what the server says stands below the client's own words
        (refusal(403), "may write to this repository"),
        (httpx.ReadTimeout("too slow"), "The connection broke"),
        (OSError(30, "Read-only file system"), "HF_HOME"),
    ],
)
def test_a_hub_that_refuses(hub: Hub, error: Exception, words: str) -> None:
    hub.error = error
    with pytest.raises(CheckpointError, match=words):
        make().push_to_hub("me/scorer")


def test_kind_private_facts_the_folder_of_a_tokenizer_stays_here(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "private-folder" / "bert"
    model, tokenizer = make_pair("bert")
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    target = as_target(str(folder))
    scorer = Scorer(target.spec(target.reader.read([TEXTS[0]]).inputs))
    Explainer(target, scorer).push_to_hub("me/words")
    place = hub.root / "me" / "words"
    for file in files(place):
        assert b"private-folder" not in (place / file).read_bytes(), file
    again = sidelight.load(place, model)
    assert again.explain(TEXTS[0]).label == Explainer(target, scorer).explain(TEXTS[0]).label


def test_kind_private_facts_a_folder_that_is_gone_is_still_a_path(hub: Hub, tmp_path: Path) -> None:
    classifier().save_pretrained(tmp_path / "private-folder" / "vit")
    model = type(classifier()).from_pretrained(tmp_path / "private-folder" / "vit")
    shutil.rmtree(tmp_path / "private-folder")
    make(model).push_to_hub("me/scorer")
    place = hub.root / "me" / "scorer"
    for file in ("config.json", "README.md"):
        assert "private-folder" not in (place / file).read_text("utf-8"), file
    with pytest.raises(CheckpointError, match=r"'vit' is no folder on this machine and no hub id.*pass the"):
        sidelight.load(place)  # and the hub is not asked for some repository that is named vit


def test_kind_left_over_files_a_tokenizer_of_an_earlier_scorer_is_not_taken(hub: Hub) -> None:
    model, tokenizer = make_pair("bert")
    target = as_target(model, tokenizer)
    words = Explainer(target, Scorer(target.spec(target.reader.read([TEXTS[0]]).inputs)))
    words.push_to_hub("me/scorer")
    make().push_to_hub("me/scorer")
    found = sidelight.load(hub.root / "me" / "scorer", classifier())
    np.testing.assert_array_equal(found.explain(IMAGES[0]).map, make().explain(IMAGES[0]).map)


@pytest.mark.parametrize("name", ["scorer.safetensors", "processor.json"])
def test_kind_users_files_weights_of_others_on_the_hub_stay(hub: Hub, name: str) -> None:
    place = hub.root / "me" / "mixed"
    place.mkdir(parents=True)
    (place / name).write_bytes(b'{"mine": 1}')
    model, tokenizer = make_pair("bert")
    target = as_target(model, tokenizer)
    words = Explainer(target, Scorer(target.spec(target.reader.read([TEXTS[0]]).inputs)))
    with pytest.raises(ForeignFileError, match=rf"{name}.*overwrite=True"):
        words.push_to_hub("me/mixed")
    assert files(place) == [name]
    words.push_to_hub("me/mixed", overwrite=True)
    words.push_to_hub("me/mixed")
    assert (place / name).read_bytes() != b'{"mine": 1}'


def test_kind_an_existing_pull_request_is_no_branch_to_make(hub: Hub) -> None:
    make().push_to_hub("me/scorer", revision="refs/pr/1")
    assert "create_branch" not in dict(hub.calls)
    assert dict(hub.calls)["upload_folder"]["revision"] == "refs/pr/1"


# -- loading ---------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with one repository: two commits, of which ``main`` is the second and ``v1`` the first."""
    root = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = root / "models--me--scorer"
    explainer = make()
    for commit, name, shift in (("1" * 40, "v1", 0.0), ("2" * 40, "main", 0.5)):
        with torch.no_grad():
            for parameter in explainer.scorer.parameters():
                parameter.add_(shift)
        explainer.save_pretrained(repository / "snapshots" / commit)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit)
    return repository


def test_loading_by_id_and_revision(cache: Path) -> None:
    main, first = (sidelight.load("me/scorer", classifier(), revision=r) for r in (None, "v1"))
    by_commit = sidelight.load("me/scorer", classifier(), revision="1" * 40)
    maps = [e.explain(IMAGES[0]).map for e in (main, first, by_commit)]
    np.testing.assert_array_equal(maps[1], maps[2])
    np.testing.assert_array_equal(maps[1], make().explain(IMAGES[0]).map)
    states = [e.scorer.state_dict() for e in (main, first)]
    assert any(not torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_another_classifier_is_refused_with_the_next_step(cache: Path) -> None:
    other = classifier()
    with torch.no_grad():
        next(other.parameters()).add_(1)
    with pytest.raises(TargetMismatchError, match="load the original classifier, or fit a new scorer"):
        sidelight.load("me/scorer", other)


@pytest.mark.parametrize(("name", "revision"), [("me/nothing", None), ("me/scorer", "v9")])
def test_what_was_never_fetched(cache: Path, name: str, revision: str | None) -> None:
    with pytest.raises(CheckpointError, match=r"neither a folder nor found on the hub.*online"):
        sidelight.load(name, classifier(), revision=revision)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (httpx.RemoteProtocolError("peer closed connection"), "The connection broke. Call again"),
        (
            httpx.HTTPStatusError("401", request=ASKED, response=httpx.Response(401)),
            "does not take the token",
        ),
        (refusal(403), "no right to read it"),
        (refusal(500), "fault of its own"),
        (without_network(refusal(429)), "Wait some minutes"),
        (without_network(httpx.ConnectError("no network")), "Try again online"),
        (OSError(28, "No space left on device"), "HF_HOME"),
    ],
)
def test_a_refused_token_and_a_broken_download_are_told(
    error: Exception, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(CheckpointError, match=advice):
        sidelight.load("me/scorer", classifier())


def test_a_repository_of_something_else_is_named_and_not_its_place_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"the repository 'me/other' of the hub holds no scorer"):
        sidelight.load("me/other", classifier())


def test_entries_of_a_newer_version_are_kept(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s")
    config = json.loads((folder / "config.json").read_text())
    config |= {"tempo": [1, {"a": None}], "scorer": {**config["scorer"], "glow": 2}}
    config["spec"]["depth"], config["target"]["mood"] = 7, "calm"
    (folder / "config.json").write_text(json.dumps(config))
    again = sidelight.load(folder, classifier()).save_pretrained(tmp_path / "again")
    found = json.loads((again / "config.json").read_text())
    assert found == config


def test_a_clone_without_its_large_files_is_told(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 240124\n"
    (folder / "scorer.safetensors").write_text(pointer)
    with pytest.raises(CheckpointError, match="git lfs pull"):
        sidelight.load(folder, classifier())


def test_a_scorer_of_a_later_format_is_told_to_be_newer(tmp_path: Path) -> None:
    folder = make().save_pretrained(tmp_path / "s")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format": "sidelight.scorer.2"}))
    with pytest.raises(CheckpointError, match=r"saved by a newer sidelight.*update sidelight"):
        sidelight.load(folder, classifier())


def test_a_kept_tokenizer_that_cannot_be_opened_stops_nobody_who_gives_one(tmp_path: Path) -> None:
    model, tokenizer = make_pair("bert")
    target = as_target(model, tokenizer)
    scorer = Scorer(target.spec(target.reader.read([TEXTS[0]]).inputs))
    folder = Explainer(target, scorer).save_pretrained(tmp_path / "s")
    kept = (folder / "processor.json").read_text("utf-8")
    for damaged in (kept[:-20], kept.replace("film", "flim")):
        (folder / "processor.json").write_text(damaged, "utf-8")
        with pytest.raises(CheckpointError, match=r"processor|restore it"):
            sidelight.load(folder, model)
        again = sidelight.load(folder, model, processor=tokenizer)
        assert again.explain(TEXTS[0]).label == Explainer(target, scorer).explain(TEXTS[0]).label
