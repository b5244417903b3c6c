"""Runtime: files, processes, signals, versions and the Hub client, for all other packages."""
