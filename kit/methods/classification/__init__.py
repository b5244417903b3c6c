"""Methods for classification."""
