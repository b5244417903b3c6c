"""Figures of the report, a file each; the same charts serve the page and the PNG files."""
