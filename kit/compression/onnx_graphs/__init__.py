"""Graphs for ONNX Runtime: tracing, attention and rounding."""
