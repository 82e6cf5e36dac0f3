"""Faces of an explainer in other tools: Captum, Quantus, and the pipelines of transformers.

Each module needs its tool only when it is imported: ``captum`` for :mod:`sidelight.faces.captum`, none for
:mod:`sidelight.faces.quantus`, transformers, which is always there, for :mod:`sidelight.faces.pipelines`.
"""
