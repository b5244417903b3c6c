"""Models: checkpoints on disk, classifiers in memory, and how a fitted model answers."""
