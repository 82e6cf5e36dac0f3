"""Several methods on one picture: what each costs, and what its map keeps and loses."""

from tiny import image_explainer, pictures

from sidelight.lab import compare

explainer = image_explainer()
picture = pictures(1, seed=1)[0]["image"]

comparison = compare(explainer, picture, ["integrated_gradients", "occlusion", "random"], area=0.1)
print(comparison)  # a table in Markdown; in a notebook the last line shows table and maps
comparison.save("side-by-side.html")
comparison.save("side-by-side.png")
