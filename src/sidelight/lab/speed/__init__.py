"""Seconds per explanation, as ratios in one run."""
