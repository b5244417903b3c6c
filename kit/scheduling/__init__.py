"""Scheduling: which cells a study has, how each ended, and the engines that run them."""
