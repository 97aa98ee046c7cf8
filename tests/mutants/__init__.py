"""Mutation testing: change the package in one small way, run the tests, and see whether one of them fails.

    tox -e mutants                                           # 10 minutes, all areas in turn
    tox -e mutants -- --area core/machines --sample 50       # 50 mutants of one room
    tox -e mutants -- --only core/deadline.py:42             # every mutant of a line
    tox -e mutants -- --seed 7 --list                        # the mutants of a seed, without a run

A surviving mutant shows a law that no test states, or a line that is not needed. State the law in a test and replay
the mutant with `--only`, or remove the line. If the mutant behaves as the original does, add it to `equivalents.py`
with the reason. A mutant that only hangs counts as not noticed: a test should fail, not stop.

The first run records which tests execute which lines. That takes some minutes, and the record is kept in `.mutants`
until the package or a helper of the tests changes; after a change to one test module only that module is recorded.
Each mutant then goes into a private copy of the checkout, and only the tests that execute its lines run, the
likeliest first. A mutant that is noticed takes about two seconds; one that survives takes up to `--patience`.

    points.py        where a file can be mutated
    equivalents.py   mutants that behave as the original does
    sampling.py      which mutants to try, in which order
    project.py       the package, its tests, and private copies of the checkout
    records.py       which tests can notice a mutant, the likeliest first
    judging.py       the outcome for one mutant
    process.py       pytest in a process of its own
    plugin.py        in that process: selects tests, records what they execute
    workers.py       several mutants side by side
    report.py        lines, diffs, and the table of areas
    __main__.py      the command

Limits. A race between threads is noticed by luck. A line that only a forked child executes is judged by all tests
that fork, since the child is not traced; a child Python that is killed is not traced either.

Why no library: mutmut (3.8) mutates function bodies only, and no function with a decorator other than `staticmethod`
or `classmethod`: no constants, no patterns, no defaults of configurations. It also adds a frame to each call, which
the tests of reference cycles and of warnings notice. cosmic-ray (8.7) runs one test command for every mutant, here
several minutes. Neither samples by seed, area and time, and cosmic-ray counts a mutant that hangs as noticed.
"""
