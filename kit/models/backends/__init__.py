"""Backends: libraries that run saved models."""
