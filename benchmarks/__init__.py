"""How fast the client is, beside the libraries that people would use instead: `tox -e bench`, `python -m benchmarks`.

Every number is a ratio within one run: the contenders take turns, round by round, and each round gives a
ratio, so other load on the machine affects both sides. Absolute times are shown and never judged.
"""
