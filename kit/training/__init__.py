"""Training: hardware, plan, transformers' loop, diagnosis."""
