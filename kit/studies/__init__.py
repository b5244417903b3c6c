"""Studies: a grid of runs, its ledger and its findings."""
