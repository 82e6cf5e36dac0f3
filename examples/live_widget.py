"""sidelight in a notebook: a widget with a slider, and the same moves from Python."""

from tiny import text_explainer

explainer = text_explainer()
widget = explainer.widget("the story was very charming")  # in a notebook the last line of a cell shows it

widget.share = 0.2  # as if somebody moved the slider: only the best fifth stays
print("kept   ", widget.selection["text"], f"{widget.answer['label']} {widget.answer['probability']:.1%}")

widget.share, widget.removed = 1.0, [4]  # as if somebody clicked a word away
print("without", "charming:", f"{widget.answer['label']} {widget.answer['probability']:.1%}")

widget.text = "the story was very dull"  # as if somebody typed
print("typed  ", widget.explanation)

widget.target = "1"  # the map of another class
print("asked  ", widget.explanation.explained_label)
widget.explanation.save_html("live-widget.html")
