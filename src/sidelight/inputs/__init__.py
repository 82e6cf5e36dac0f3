"""From samples to what a model takes, and back to what a person can look at."""
