"""Methods for tasks with labels."""
