"""Methods for translation."""
