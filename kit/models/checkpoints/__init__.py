"""Checkpoints: pretrained weights on disk or on the Hub."""
