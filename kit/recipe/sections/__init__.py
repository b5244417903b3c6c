"""Sections of a recipe, one module for each or for those of a kind."""
