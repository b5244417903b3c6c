"""Workflows: one module for each verb of the command line and the Python API."""
