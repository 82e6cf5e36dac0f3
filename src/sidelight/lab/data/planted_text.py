"""Short texts whose evidence is known to the character, made from a grammar and a seed.

A text may give one verdict: an opinion about a film, perhaps negated. Other sentences look like verdicts and are
none: opinions about the weather or the seats, opinions about people, and chatter, some of it about the film.
Opinion words of both kinds occur with all labels, so counting words is not enough. A model must find the subject
of each opinion, and heed negation.

A third of the texts give no verdict. A classifier of two classes could take one of them for granted. Then it would
need nothing in a text of that class, every map would keep the prediction, and no map would be right or wrong.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from sidelight.errors import ConfigError

if TYPE_CHECKING:  # transformers is slow to import
    from transformers import PreTrainedTokenizerFast

#: class names by label; texts of the last class give no opinion on the film
CLASSES = ("negative", "positive", "no verdict")
SILENT = len(CLASSES) - 1


def _words(text: str) -> list[str]:
    return text.split()


_OPINIONS = (
    _words("dull awful boring clumsy weak tedious messy bleak shallow lifeless dreadful forgettable"),
    _words("superb lovely moving clever gripping charming warm bright elegant thrilling joyful memorable"),
)
_FILM = _words("film movie story plot acting script")
_OTHER = _words("weather popcorn seat bus queue coffee hotel dinner")
_PEOPLE = _words("brother neighbour critic friend sister teacher cousin uncle")
_DEGREES = ["", "", "", "really ", "quite ", "truly ", "simply ", "rather "]
_NEGATORS = ["not ", "never ", "hardly ", "far from "]
_NEUTRAL = [
    "we saw it on a {day}",
    "it runs for {count} hours",
    "there were {count} of us",
    "the cinema is near the {place}",
    "my {person} drove us to the {place}",
    "it was made in the {place}",
    "the {film} runs for {count} hours",
    "we saw the {film} on {day}",
    "the {film} was shown at the {place}",
    "my {person} told me about the {film}",
    "i bought the tickets on {day}",
    "the {other} was next to the {place}",
    "someone told me about it {count} weeks ago",
]
_DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
_COUNTS = _words("two three four five six")
_PLACES = _words("station harbour market park museum bridge library river")
_JOINS = [". ", ". ", ", and ", "; ", ", while ", ". by the way, "]


class PlantedText(TypedDict):
    """A row: the text, its label, and the character spans of the evidence."""

    text: str
    label: int
    evidence: list[tuple[int, int]]


@dataclass
class _Clause:
    """A clause under construction and the spans of its evidence."""

    text: str = ""
    evidence: list[tuple[int, int]] = field(default_factory=list)

    def add(self, text: str, evident: bool = False) -> _Clause:
        if evident and text.strip():
            self.evidence.append((len(self.text), len(self.text) + len(text.rstrip())))
        self.text += text
        return self


def planted_texts(
    count: int, seed: int = 0, negation: float = 0.25, distractors: int = 1
) -> list[PlantedText]:
    """``count`` rows with equally likely labels. The same arguments always give the same rows.

    Args:
        seed: rows of different seeds are independent. A longer list starts with the shorter one.
        negation: share of opinions, true and distracting, that are negated.
        distractors: sentences about something or someone else in each text, at most.

    Returns:
        Rows ``{"text", "label", "evidence"}``. The label is an index of :data:`CLASSES`. The evidence is
        ``(start, end)`` of the opinion's subject, of its negator if there is one, and of the opinion word. A text
        without a verdict has none.

    Raises:
        ConfigError: a number is out of range.

    Example:
        >>> row = planted_texts(1, seed=40)[0]
        >>> row["text"]
        'for me the movie is far from clumsy'
        >>> [row["text"][a:b] for a, b in row["evidence"]]
        ['movie', 'far from', 'clumsy']
    """
    if count < 0 or distractors < 0 or not 0 <= negation <= 1:
        raise ConfigError(
            f"expected count >= 0, distractors >= 0 and negation in [0, 1]; "
            f"got {count}, {distractors} and {negation}."
        )
    return [_row(random.Random(f"{seed}/{i}"), negation, distractors) for i in range(count)]


def _row(rng: random.Random, negation: float, distractors: int) -> PlantedText:
    label = rng.randrange(len(CLASSES))
    silent = label == SILENT
    clauses = [] if silent else [_verdict(rng, label, negation)]
    # A distractor's polarity is drawn by itself, so it does not depend on the label.
    clauses += [
        rng.choice([_other_thing, _other_person])(rng, rng.randrange(2), negation)
        for _ in range(rng.randint(min(silent, distractors), distractors))
    ]
    clauses += [_chatter(rng) for _ in range(rng.randint(int(silent), 2))]
    rng.shuffle(clauses)
    text, evidence = "", []
    for i, clause in enumerate(clauses):
        text += rng.choice(_JOINS) if i else ""
        evidence += [(a + len(text), b + len(text)) for a, b in clause.evidence]
        text += clause.text
    return {"text": text + rng.choice([".", ".", "!", ""]), "label": label, "evidence": evidence}


def _opinion(clause: _Clause, rng: random.Random, label: int, negation: float, evident: bool) -> _Clause:
    """Add an opinion worth ``label``: a word of that polarity, or the negation of the other."""
    negated = rng.random() < negation
    if negated:
        clause.add(rng.choice(_NEGATORS), evident)
    else:
        clause.add(rng.choice(_DEGREES))
    return clause.add(rng.choice(_OPINIONS[label ^ negated]), evident)


def _verdict(rng: random.Random, label: int, negation: float) -> _Clause:
    film = rng.choice(_FILM)
    opening, verb = rng.choice(
        [("the ", " was "), ("i found the ", " "), ("for me the ", " is "), ("its ", " seemed ")]
    )
    clause = _Clause().add(opening).add(film, evident=True).add(verb)
    return _opinion(clause, rng, label, negation, evident=True)


def _other_thing(rng: random.Random, label: int, negation: float) -> _Clause:
    thing = rng.choice(_OTHER)
    opening = rng.choice([f"the {thing} was ", f"i found the {thing} ", f"the {thing} seemed "])
    return _opinion(_Clause().add(opening), rng, label, negation, evident=False)


def _other_person(rng: random.Random, label: int, negation: float) -> _Clause:
    person, thing = rng.choice(_PEOPLE), rng.choice(_OTHER)
    opening = rng.choice([f"my {person} is ", f"my {person} called the {thing} ", f"the {person} looked "])
    return _opinion(_Clause().add(opening), rng, label, negation, evident=False)


def _chatter(rng: random.Random) -> _Clause:
    return _Clause().add(
        rng.choice(_NEUTRAL).format(
            day=rng.choice(_DAYS),
            count=rng.choice(_COUNTS),
            place=rng.choice(_PLACES),
            person=rng.choice(_PEOPLE),
            other=rng.choice(_OTHER),
            film=rng.choice(_FILM),
        )
    )


def planted_tokenizer(
    texts: Sequence[str] | None = None, size: int = 400, max_length: int = 64
) -> PreTrainedTokenizerFast:
    """A small BERT-style tokenizer for the planted texts, one token a word, trained in memory.

    Args:
        texts: the source of the vocabulary (default: 2,000 planted texts).
        size: largest vocabulary.
        max_length: longest input in tokens.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    special = list(names.values())  # trainers number them in this order
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learn_from = [row["text"] for row in planted_texts(2000, seed=0)] if texts is None else list(texts)
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(learn_from, trainer)
    ids = {token: i for i, token in enumerate(special)}
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **names)
