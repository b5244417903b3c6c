"""Classification with ordered labels."""
