"""Distillation: teachers, their outputs, objectives and students."""
