"""Analysis: from the finished cells of a study to answers with intervals.

Pure functions of numbers.
"""
