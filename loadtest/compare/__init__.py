"""Runs side by side, and beside published results of the same test."""
