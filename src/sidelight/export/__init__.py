"""An explainer as a plain module and as one file, for programs without sidelight."""
