"""Architectures: networks of kit's own, and parts of those of transformers."""
