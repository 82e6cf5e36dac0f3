"""sidelight in a browser: a page on which a person drops an image and plays with its map."""

import sys

from tiny import image_explainer, pictures

from sidelight.lab import compare

explainer = image_explainer()
page = explainer.demo(pictures(8, seed=1), title="Red or blue?", compare=compare)

_, address, _ = page.launch(prevent_thread_lock=True, quiet=True)  # on this machine only
print("page:", address)
if sys.stdin.isatty():  # serve until somebody stops it
    page.block_thread()
page.close()
