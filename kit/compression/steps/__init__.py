"""Steps of compression, one module for each technique."""
