"""Models: checkpoints on disk, classifiers and translators in memory, and their predictions."""
