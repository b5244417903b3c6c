"""Regression: a number as the label."""
