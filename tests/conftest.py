"""What all tests share."""

import os

os.environ["RAY_ADDRESS"] = "local"
"""Tests never join a cluster that happens to run on this machine."""
