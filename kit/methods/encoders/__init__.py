"""Methods that train text encoders with a head, and TF-IDF with a linear model."""
