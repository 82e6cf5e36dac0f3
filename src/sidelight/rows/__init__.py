"""A user's data, row by row: where rows come from, their labels, and which are held out."""
