"""Classifiers of sounds, series and videos: refused in words on the built-in paths, and explained by a family of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from sidelight import Explainer, ImageTransform
from sidelight.core.registry import Registry
from sidelight.core.types import MODALITIES, Encoding, Modality
from sidelight.errors import CheckpointError, InputError, SelfCheckError, UnsupportedTargetError
from sidelight.fills.base import DEFAULT_FILLS, FILLS, RESERVED
from sidelight.inputs.base import Batch, Reader
from sidelight.scorers import ScorerConfig
from sidelight.scorers.base import DECODERS
from sidelight.targets import TargetModel, as_target
from sidelight.targets.families import TARGETS
from sidelight.training.lengths import row_lengths
from sidelight.training.network import new_scorer

WAVE = Modality("wave", channel_dim=1, keeps_channel_dim=False)


class WaveReader(Reader):
    """Reads waves ``[T]`` of any length."""

    modalities = ("wave",)

    def is_sample(self, value: Any) -> bool:
        return isinstance(value, (np.ndarray, Tensor)) and value.ndim == 1

    def prepare(self, samples: Any) -> Batch:
        waves = [torch.as_tensor(s, dtype=torch.float32) for s in samples]
        padded = nn.utils.rnn.pad_sequence(waves, batch_first=True)
        lengths = torch.tensor([len(w) for w in waves])
        return Batch({"values": padded, "mask": torch.arange(padded.shape[1]) < lengths[:, None]})

    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        raise NotImplementedError

    def show(self, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        return [{"wave": x[r].numpy()} for x, r in zip(batch.inputs["values"], real["wave"], strict=True)]

    def show_scores(
        self, batch: Batch, scores: Mapping[str, Tensor], real: Mapping[str, Tensor], join: Any = "max"
    ) -> list[dict[str, Any]]:
        return [{"wave": s[r].numpy()} for s, r in zip(scores["wave"], real["wave"], strict=True)]

    def state(self) -> dict[str, Any]:
        return {}

    def save(self, folder: Path) -> None:
        pass

    @classmethod
    def load(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return None


class Net(nn.Module):
    """A mean over the moments, of the real ones alone unless it is ``careless``."""

    def __init__(self, careless: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.careless = nn.Linear(1, 8), nn.Linear(8, 2), careless

    def states(self, values: Tensor) -> Tensor:
        found: Tensor = self.body(values[..., None]).relu()
        return found

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        weights = torch.ones_like(values) if self.careless else mask.to(values)
        mean = (self.states(values) * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)
        logits: Tensor = self.head(mean)
        return logits


class WaveTarget(TargetModel):
    """A classifier of waves."""

    family, reader_type, varying_length = "wave", WaveReader, True
    modalities = MappingProxyType({"wave": WAVE})

    def __init__(self, model: nn.Module, processor: Any = None) -> None:
        super().__init__(model)
        self.reader = WaveReader()

    def features(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"wave": inputs["values"][:, None]}

    def feature_mask(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"wave": inputs["mask"]}

    def forward(self, inputs: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> Tensor:
        with self.one_pass():
            logits: Tensor = self.model(features["wave"][:, 0], inputs["mask"])
            return logits

    def _encode(self, inputs: Mapping[str, Tensor]) -> Encoding:
        states = self.model.states(inputs["values"])  # type: ignore[operator]
        return Encoding(self.model(**inputs), {"wave": (states,)}, self.feature_mask(inputs))


class WaveDecoder(nn.Module):
    """A score for each moment by itself, of the predicted class."""

    def __init__(self, states: Any, feature_shape: Any = None, cond_dim: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(states[-1].channels, 1)

    def forward(self, encoding: Encoding, modality: str) -> Tensor:
        raw: Tensor = self.layer(encoding.states[modality][-1])[..., 0]
        return raw


@pytest.fixture
def wave() -> Iterator[None]:
    """The modality of waves, which is gone after the test."""
    MODALITIES["wave"], DEFAULT_FILLS["wave"] = WAVE, ("zero",)
    FILLS["wave"] = Registry("wave fill", RESERVED)
    FILLS["wave"].add("zero", lambda x, context: torch.zeros_like(x))
    TARGETS.add("wave", WaveTarget)
    DECODERS.add("wave", WaveDecoder)
    yield
    _forget()


def _forget() -> None:
    for known in (MODALITIES, DEFAULT_FILLS, FILLS, TARGETS._entries, DECODERS._entries):
        known.pop("wave", None)  # type: ignore[attr-defined]


def waves(count: int = 24) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.normal(size=20 + 3 * (i % 7)).astype(np.float32) for i in range(count)]


def untrained() -> Explainer:
    torch.manual_seed(0)
    target = as_target(Net(), family="wave")
    return Explainer(target, new_scorer(target, waves(1), ScorerConfig(by_class=False)))


def fitted(model: nn.Module, rows: Any, folder: Path) -> Explainer:
    target = as_target(model, family="wave", class_names=["low", "high"])
    own: dict[str, Any] = {"objective": "thesis", "label": "prediction", "fills": ["zero"], "epochs": 1}
    return Explainer.fit(target, rows, batch_size=8, on_collapse="warn", output_dir=folder, **own)


@pytest.mark.usefixtures("wave")
def test_kind_inputs_of_varying_length_need_not_be_texts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    explainer, rows = fitted(Net(), waves(), tmp_path), waves()
    together, alone = explainer.explain(rows), [explainer.explain(w) for w in rows]
    for one, batched, values in zip(alone, together, rows, strict=True):
        assert one.map.shape == values.shape
        np.testing.assert_allclose(one.map, batched.map, atol=1e-6)
        logits = explainer.target.model(torch.tensor(values)[None], torch.ones(1, len(values)))
        np.testing.assert_allclose(one.probabilities, logits.softmax(-1)[0].detach(), atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.usefixtures("wave")
@pytest.mark.parametrize("form", ["arrays", "tensors", "mappings", "labelled"])
def test_kind_lengths_are_those_of_arrays(form: str) -> None:
    rows: dict[str, list[Any]] = {
        "arrays": waves(3),
        "tensors": [torch.tensor(w) for w in waves(3)],
        "mappings": [{"wave": w, "label": 0} for w in waves(3)],
        "labelled": [(w, 1) for w in waves(3)],
    }
    assert row_lengths(as_target(Net(), family="wave"), rows[form]) == [20, 23, 26]


@pytest.mark.usefixtures("wave")
def test_kind_the_self_check_looks_at_a_short_and_a_long_input(tmp_path: Path) -> None:
    rows = waves(22)  # the first and the last are of one length
    assert len(rows[0]) == len(rows[-1])
    with pytest.raises(SelfCheckError, match="may read the padding of shorter samples"):
        fitted(Net(careless=True), rows, tmp_path)


@pytest.mark.usefixtures("wave")
def test_kind_a_row_whose_only_column_is_an_array_is_one_sample() -> None:
    explainer, values = untrained(), waves(2)
    expected = explainer.explain(values[0]).map
    for sample in (values[0], torch.tensor(values[0])):
        np.testing.assert_array_equal(explainer.explain({"wave": sample}).map, expected)
    assert len(explainer.explain({"wave": values})) == 2


def test_kind_a_row_whose_only_column_is_a_picture_is_one_sample(images: Explainer) -> None:
    draw = np.random.default_rng(0)
    picture = draw.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    expected = images.explain(picture)
    np.testing.assert_array_equal(images.explain({"image": picture}).map, expected.map)
    pixels = images.target.reader.read([picture]).inputs["pixel_values"][0]
    np.testing.assert_array_equal(images.explain({"image": pixels}).map, expected.map)
    for column in (np.stack([picture, picture]), [picture, picture], np.stack([picture[..., 0]] * 2)):
        assert len(images.explain({"image": column})) == 2


@pytest.mark.usefixtures("wave")
def test_kind_a_scorer_of_an_own_family_says_what_must_be_registered(tmp_path: Path) -> None:
    explainer = untrained()
    explainer.save_pretrained(tmp_path / "scorer")
    del DECODERS._entries["wave"]
    with pytest.raises(CheckpointError, match=r"needs the decoder 'wave'.*code that adds it to DECODERS"):
        Explainer.from_pretrained(tmp_path / "scorer", explainer.target)
    _forget()
    with pytest.raises(CheckpointError, match=r"needs the target family 'wave'.*adds it to TARGETS"):
        Explainer.from_pretrained(tmp_path / "scorer", explainer.target)


@pytest.mark.usefixtures("wave")
def test_kind_captum_says_that_it_cannot_find_the_input_of_an_own_family() -> None:
    pytest.importorskip("captum")
    from sidelight import SidelightAttribution

    explainer = untrained()
    with pytest.raises(UnsupportedTargetError, match="WaveTarget reads 'values' instead"):
        SidelightAttribution(explainer).attribute(torch.zeros(2, 30))


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SOUND = {
    "conv_dim": (8,),
    "conv_stride": (8,),
    "conv_kernel": (8,),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "vocab_size": 9,
    "pad_token_id": 0,
}
OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Wav2Vec2ForSequenceClassification": ("Wav2Vec2Config", "'input_values'", SMALL | SOUND),
    "HubertForSequenceClassification": ("HubertConfig", "'input_values'", SMALL | SOUND),
    "ASTForAudioClassification": ("ASTConfig", "'input_values'", SMALL | {"max_length": 32}),
    "WhisperForAudioClassification": ("WhisperConfig", "'input_features'", WHISPER),
    "PatchTSTForClassification": ("PatchTSTConfig", "'past_values'", {"d_model": 16, "num_targets": 2}),
    "VideoMAEForVideoClassification": ("VideoMAEConfig", "frames of a video", SMALL | {"image_size": 32}),
    "TimesformerForVideoClassification": (
        "TimesformerConfig",
        "frames of a video",
        SMALL | {"image_size": 32},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_kind_a_classifier_of_other_inputs_is_refused_with_the_way_on(name: str) -> None:
    config, reads, settings = OTHERS[name]
    model = getattr(transformers, name)(getattr(transformers, config)(**settings))
    with pytest.raises(UnsupportedTargetError, match=rf"{name} reads .*{reads}.*docs/extend/modality.md"):
        Explainer.fit(model, [np.zeros((32, 32, 3), np.uint8)] * 8, processor=ImageTransform((32, 32)))


@pytest.mark.parametrize("shape", [(1, 400), (6,), (4, 3, 16, 16)])
def test_kind_a_plain_module_of_other_inputs_is_told_of_families(shape: tuple[int, ...]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.Linear(4, 2))
    model(torch.zeros(1, *shape))
    with pytest.raises(InputError, match=r"must be \[B, C, H, W\].*docs/extend/modality.md"):
        Explainer.fit(model, [torch.zeros(shape)] * 8, layers=["1"])
