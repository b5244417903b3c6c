"""Runs: from a recipe to a Record on disk."""
