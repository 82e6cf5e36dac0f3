"""sidelight in transformers: a pipeline whose answers say why."""

from tiny import text_explainer, texts

import sidelight

explainer = text_explainer()
pipe = sidelight.pipeline("text-classification", explainer=explainer, device="cpu", batch_size=8)

(answer,) = pipe("the story was very charming")
print(answer["label"], round(answer["score"], 3))
for word in answer["words"]:
    print(f"  {word['word']:10} {word['score']:.2f}  [{word['start']}, {word['end']})")
answer["explanation"].save("in-transformers")  # a picture and its data

stream = pipe(
    row["text"] for row in texts(100, seed=1)
)  # any generator or data set, one answer after another
for found, _ in zip(stream, range(3), strict=False):
    best = max(found["words"], key=lambda word: word["score"])
    print(found["label"], "because of", best["word"])

both = pipe("a dull film with great acting", top_k=None, maps=None)  # each label with the map of its own
for one in both:
    print(one["label"], round(one["score"], 3), [w["word"] for w in one["words"] if w["score"] > 0.5])
