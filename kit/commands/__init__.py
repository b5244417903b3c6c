"""The commands: each parses, calls one function, prints. Heavy modules load inside them."""
