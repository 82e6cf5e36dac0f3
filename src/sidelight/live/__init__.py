"""An explanation to play with: a session, the notebook's widget, and the page in a browser.

:mod:`sidelight.live.session` needs no extra. The widget needs the extra ``widget`` (anywidget), the page the extra ``app``
(Gradio). Each of them is imported only if somebody asks for it.
"""
