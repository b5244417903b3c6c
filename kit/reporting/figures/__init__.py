"""Figures of the report: one file per figure; the same charts serve the interactive page and the PNG files."""
