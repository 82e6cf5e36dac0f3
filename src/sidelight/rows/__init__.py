"""A user's data, row by row: sources of rows, their labels, and the rows that are held out."""
