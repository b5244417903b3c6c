"""Measurement: metrics and baselines, intervals, speed, energy."""
