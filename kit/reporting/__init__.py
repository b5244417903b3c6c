"""Reporting: the findings of a study as a page, tables and charts."""
