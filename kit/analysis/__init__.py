"""Analysis: from the finished cells of a study to results with intervals.

Pure functions of numbers.
"""
