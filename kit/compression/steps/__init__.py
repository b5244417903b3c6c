"""Compression techniques, one module per technique or family of techniques."""
