"""Publishing: export a run as a verified folder that loads without kit, and push it to the Hub."""
