"""Tables from stored results: rows to cells, cells to Markdown, the terminal and LaTeX."""
