"""Flickr8k, Hateful Memes and SNLI-VE from tiny copies of the folders their makers publish."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sidelight.errors import ConfigError, InputError
from sidelight.lab.data.local_copies import ENTAILMENT, read_flickr8k
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import DATASETS, load_rows


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data set can be found but those a test writes."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), (value, 0, 0)).save(path)


def lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows), encoding="utf-8"
    )


def shade(row: Any) -> int:
    return round(row["image"].getpixel((0, 0))[0] / 10)


# -- Hateful Memes ---------------------------------------------------------------------------


@pytest.fixture
def memes(tmp_path: Path) -> Path:
    folder = tmp_path / "sets" / "hateful_memes"
    rows = [
        {"id": i, "img": f"img/0{i}.png", "label": i % 2, "text": f"meme, número {i}\nline two"}
        for i in range(6)
    ]
    lines(folder / "train.jsonl", rows[:4])
    lines(folder / "dev_seen.jsonl", rows[4:5])
    lines(folder / "test_seen.jsonl", rows[5:])
    for i in range(6):
        picture(folder / "img" / f"0{i}.png", 10 * i)
    return folder


def test_memes_are_read_as_published(memes: Path) -> None:
    rows = load_rows("hateful_memes", "train", data_dir=str(memes.parent))
    assert [(shade(r), r["text"], r["label"]) for r in rows] == [
        (i, f"meme, número {i}\nline two", i % 2) for i in range(4)
    ]
    assert [
        len(load_rows("hateful_memes", s, data_dir=str(memes.parent))) for s in ("validation", "test")
    ] == [1, 1]
    assert len(load_rows("hateful_memes", "train", data_dir=str(memes.parent), count=2)) == 2
    assert DATASETS["hateful_memes"].classes == ("not hateful", "hateful")


def test_memes_of_the_first_release_and_in_a_subfolder(memes: Path) -> None:
    inner = memes / "annotations"
    inner.mkdir()
    for old, new in (("dev_seen", "dev"), ("test_seen", "test"), ("train", "train")):
        (memes / f"{old}.jsonl").rename(inner / f"{new}.jsonl")
    assert [len(load_rows("hateful_memes", s, data_dir=str(memes.parent))) for s in ("train", "test")] == [
        4,
        1,
    ]
    lines(inner / "test.jsonl", [{"id": 1, "img": "img/01.png", "text": "?"}])
    with pytest.raises(InputError, match=r"test\.jsonl has no label of 0 or 1 in line 1: get the release"):
        load_rows("hateful_memes", "test", data_dir=str(memes.parent))


def test_a_missing_picture_is_said_and_left_out(memes: Path, caplog: pytest.LogCaptureFixture) -> None:
    (memes / "img" / "02.png").unlink()
    with caplog.at_level(logging.WARNING):
        rows = load_rows("hateful_memes", "train", data_dir=str(memes.parent))
    assert [shade(r) for r in rows] == [0, 1, 3]
    assert "1 row(s) or picture(s) left out" in caplog.text
    for path in (memes / "img").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no picture such as '00\.png' in .*hateful_memes"):
        load_rows("hateful_memes", "train", data_dir=str(memes.parent))


def test_lines_that_are_no_rows_are_named(memes: Path) -> None:
    lines(memes / "train.jsonl", ['{"img": "img/00.png", "text": "a", "label": 0}', '{"img": "img/0'])
    with pytest.raises(InputError, match=r"train\.jsonl, line 2: not JSON .*truncated"):
        load_rows("hateful_memes", "train", data_dir=str(memes.parent))
    lines(memes / "train.jsonl", [{"img": "img/00.png", "label": 0}])
    with pytest.raises(InputError, match=r"line 1: \['text'\] missing"):
        load_rows("hateful_memes", "train", data_dir=str(memes.parent))
    lines(memes / "train.jsonl", [[1, 2]])
    with pytest.raises(InputError, match=r"line 1: \['img', 'text'\] missing"):
        load_rows("hateful_memes", "train", data_dir=str(memes.parent))


def test_without_a_copy_the_message_says_what_to_put_where(memes: Path) -> None:
    with pytest.raises(
        InputError, match=rf"'hateful_memes' is read from a local copy.*{DATA_VARIABLE}.*img/"
    ):
        load_rows("hateful_memes", "train")
    with pytest.raises(InputError, match=r"'snli_ve' is read from a local copy.*Flickr30k"):
        load_rows("snli_ve", "train")
    with pytest.raises(ConfigError, match="split must be one of train, validation, test; got 'dev'"):
        load_rows("hateful_memes", "dev", data_dir=str(memes.parent))
    (memes / "dev_seen.jsonl").unlink()
    with pytest.raises(InputError, match=r"no dev_seen\.jsonl or dev\.jsonl in .*it holds \['img', "):
        load_rows("hateful_memes", "validation", data_dir=str(memes.parent))


# -- SNLI-VE ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "suffix"), [("Flickr30K_ID", ""), ("Flikr30kID", ".jpg")])
def test_snli_ve_is_read_as_published(tmp_path: Path, key: str, suffix: str) -> None:
    folder = tmp_path / "snli_ve"
    names = ["0012", "34", "0012", "0012"]
    labels = [*ENTAILMENT, "-"]
    rows = [
        {
            key: name + suffix,
            "sentence1": "not used",
            "sentence2": f"claim {i}",
            "gold_label": label,
            "pairID": i,
        }
        for i, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    lines(folder / "snli_ve_dev.jsonl", rows)
    picture(folder / "flickr30k" / "flickr30k_images" / "0012.jpg", 120)
    picture(folder / "flickr30k" / "flickr30k_images" / "34.jpg", 240)
    read: Any = load_rows("snli_ve", "validation", data_dir=str(tmp_path))
    assert [(shade(r), r["text"], r["label"]) for r in read] == [
        (12, "claim 0", 0),
        (24, "claim 1", 1),
        (12, "claim 2", 2),
    ]
    assert len(read.pictures) == 2  # a picture is kept once
    assert DATASETS["snli_ve"].classes == ENTAILMENT


def test_snli_ve_rows_it_cannot_use(tmp_path: Path) -> None:
    path = tmp_path / "snli_ve" / "snli_ve_test.jsonl"
    lines(path, [{"Flickr30K_ID": "1", "sentence2": "a", "gold_label": "maybe"}])
    with pytest.raises(InputError, match=r"gold_label must be one of entailment, .*got 'maybe'"):
        load_rows("snli_ve", "test", data_dir=str(tmp_path))
    lines(path, [{"image": "1", "sentence2": "a", "gold_label": "neutral"}])
    with pytest.raises(InputError, match=r"a row names no picture; expected one of .*Flickr30K_ID"):
        load_rows("snli_ve", "test", data_dir=str(tmp_path))
    lines(path, [{"Flickr30K_ID": "1", "sentence2": "a", "gold_label": "-"}])
    with pytest.raises(InputError, match="name no picture of this split"):
        load_rows("snli_ve", "test", data_dir=str(tmp_path))


# -- Flickr8k --------------------------------------------------------------------------------


def flickr8k(folder: Path, layout: str, count: int = 30) -> None:
    """Captions of ``count`` pictures, five each, in one of the two layouts."""
    rows = [(f"{i}.jpg", k, f'Picture {i}, called "{k}" .') for i in range(count) for k in range(5)]
    if layout == "token":
        lines(folder / "Flickr8k_text" / "Flickr8k.token.txt", [f"{n}#{k}\t{text}" for n, k, text in rows])
    else:
        quoted = [f'{n},"{text}"'.replace('"' + str(k) + '"', f'""{k}""') for n, k, text in rows]
        lines(folder / "captions.txt", ["image,caption", *quoted])
    images = {"token": folder / "Flickr8k_Dataset" / "Flicker8k_Dataset", "csv": folder / "Images"}[layout]
    for i in range(count):
        picture(images / f"{i}.jpg", 0)


@pytest.mark.parametrize("layout", ["token", "csv"])
def test_flickr8k_in_both_layouts(tmp_path: Path, layout: str) -> None:
    flickr8k(tmp_path / "flickr8k", layout)
    seen: list[set[str]] = []
    for split, size in (("train", 24), ("validation", 3), ("test", 3)):
        rows: Any = load_rows("flickr8k", split, data_dir=str(tmp_path))
        assert len(rows) == size * 10
        paths = [Path(p["path"]).name for p in rows.pictures.rows["image"]]
        for number, row in zip(rows.picture, rows, strict=True):
            own = f"Picture {paths[number].split('.')[0]}, called "
            assert (row["text"].startswith(own)) == bool(row["label"])
        assert rows[0]["image"].size == (6, 4)
        assert set(rows.columns["text"]) == {
            f'Picture {name.split(".")[0]}, called "{k}" .' for name in paths for k in range(5)
        }
        seen.append(set(paths))
    assert len(set.union(*seen)) == 30 == sum(map(len, seen))


def test_flickr8k_keeps_the_published_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "flickr8k"
    flickr8k(folder, "token")
    for name, numbers in (("train", range(0, 20)), ("dev", range(20, 23)), ("test", range(23, 30))):
        lines(folder / "Flickr8k_text" / f"Flickr_8k.{name}Images.txt", [f"{i}.jpg" for i in numbers])
    for split, size in (("train", 20), ("validation", 3), ("test", 7)):
        assert len(read_flickr8k(folder, split)[0]) == size
    # a name that no file has, as in the published captions
    token = folder / "Flickr8k_text" / "Flickr8k.token.txt"
    token.write_text(token.read_text().replace("0.jpg#", "0.jpg.1#"))
    lines(folder / "Flickr8k_text" / "Flickr_8k.trainImages.txt", ["0.jpg.1", "1.jpg", "2.jpg"])
    with caplog.at_level(logging.WARNING):
        pictures, captions = read_flickr8k(folder, "train")
    assert len(pictures) == len(captions) == 2
    assert "1 row(s) or picture(s) left out" in caplog.text


def test_flickr8k_lines_it_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "flickr8k"
    folder.mkdir()
    with pytest.raises(InputError, match=r"no Flickr8k\.token\.txt or captions\.txt in .*it holds \[\]"):
        load_rows("flickr8k", "train", data_dir=str(tmp_path))
    lines(folder / "Flickr8k.token.txt", ["1.jpg#0\tA dog .", "2.jpg#0 no tab"])
    with pytest.raises(InputError, match=r"line 2: expected <picture>#<number>, a tab and a caption"):
        load_rows("flickr8k", "train", data_dir=str(tmp_path))
    (folder / "Flickr8k.token.txt").unlink()
    lines(folder / "captions.txt", ["image,caption", "1.jpg,A dog, unquoted"])
    with pytest.raises(InputError, match=r"line 2: expected <picture>,<caption>; got '1\.jpg,A dog"):
        load_rows("flickr8k", "train", data_dir=str(tmp_path))
