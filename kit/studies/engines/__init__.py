"""Engines: where the cells of a study run."""
