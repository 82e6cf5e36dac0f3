"""One input, several methods: their maps in one picture, and what they cost and are worth in one table."""
