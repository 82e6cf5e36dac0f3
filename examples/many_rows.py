"""sidelight on a table: a job that survives a kill, bad rows beside the others, and answers to look up."""

import csv

from tiny import text_explainer, texts

import sidelight

explainer = text_explainer()
with open("reviews.csv", "w", encoding="utf-8", newline="") as file:
    table = csv.writer(file)
    table.writerow(["id", "text"])
    table.writerows((f"review-{n}", row["text"]) for n, row in enumerate(texts(100, seed=1)))
    table.writerow(["review-100", ""])  # an empty text, which nobody can explain

# the same call goes on after a kill, and the second time it finds everything done
explainer.explain_dataset("reviews.csv", "explained", batch_size=16, block_rows=32, scores="float16")

found = sidelight.read_explanations("explained")
print(len(found), "rows;", *(f"row {e.row}: {e.reason}" for e in found.errors()))
one = found["review-3"]
print(
    "review-3:",
    one.label,
    [(w, round(float(s), 2)) for w, s in zip(one.inputs["text"], one.map, strict=True)],
)
frame = found.to_pandas(["label", "text_top"]).dropna()
print(frame.assign(best=[top[0] for top in frame["text_top"]]).groupby("label").first())
