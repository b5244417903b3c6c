"""Classification with one or several labels per text."""
