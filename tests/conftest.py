"""Shared by all tests: small seeded models live in :mod:`tiny_models`, which this folder makes importable."""

from __future__ import annotations

import os

# Tests never reach for the network, whatever the machine allows.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
