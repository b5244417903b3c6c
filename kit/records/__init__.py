"""Records: finished runs on disk, their checks and their stored predictions."""
