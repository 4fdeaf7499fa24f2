"""Other actor libraries for Python, each in a module of its own, written as its users would write it.

No type checker looks in here: most of these libraries are not installed where the checks run.
"""
