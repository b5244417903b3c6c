"""Architectures: networks defined by kit, and access to parts of transformers' networks."""
