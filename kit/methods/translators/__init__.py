"""Methods that train translators."""
