"""Input and output of `kit predict`."""
