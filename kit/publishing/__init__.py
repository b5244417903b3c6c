"""Publishing: what a run becomes when it leaves this machine, proven to answer as it did."""
