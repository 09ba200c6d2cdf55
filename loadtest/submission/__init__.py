"""Submission trees for MLCommons, from the folders of finished runs."""
