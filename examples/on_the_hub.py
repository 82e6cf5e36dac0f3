"""sidelight on the Hugging Face Hub: a scorer with its card, and how others load it. Here a folder stands in for the hub."""

from pathlib import Path

from tiny import text_explainer

import sidelight

explainer = text_explainer()
model = explainer.target.model  # others have it from the hub
folder = Path(explainer.save_pretrained("my-scorer"))
print(*sorted(path.name for path in folder.iterdir()))  # weights, settings, and a card
print((folder / "README.md").read_text(encoding="utf-8")[:120])

# explainer.push_to_hub("me/my-scorer") sends these files, and sidelight.load("me/my-scorer") fetches them again
again = sidelight.load("my-scorer", model)
text = "the story was very charming"
print("the same map:", again.explain(text).map.tolist() == explainer.explain(text).map.tolist())
