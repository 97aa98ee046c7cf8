"""How fast the client is, beside what people would use instead. `tox -e bench`, or `python -m benchmarks`.

Every number is a ratio within one run: the contenders take turns, round by round, and a ratio is taken in
each round, so what else the machine does falls on both. Absolute times are shown and never judged.
"""
