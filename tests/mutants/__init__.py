"""Mutation testing: change the package in one small way, run the tests, and see whether one of them fails.

    tox -e mutants                                           # 10 minutes, all areas in turn
    tox -e mutants -- --quick --area http --sample 50        # the likely tests only
    tox -e mutants -- --area core/machines --sample 50       # 50 mutants of one room
    tox -e mutants -- --swap --area core/deadline.py         # every mutant of the functions of a file, ten a second
    tox -e mutants -- --only core/deadline.py:42             # every mutant of a line
    tox -e mutants -- --seed 7 --list                        # the mutants of a seed, without a run

A surviving mutant shows a law that no test states, or a line that is not needed. State the law in a test and replay
the mutant with `--only`, or remove the line. If the mutant behaves as the original does, add it to `equivalents.py`
with the reason. A mutant that only hangs counts as not noticed: a test should fail, not stop.

Each mutant goes into a private copy of the checkout, and two rounds of tests judge it. In the first, the likely tests
run: those named after the file, those that import it, those of its folder. Nine mutants of ten are noticed there, most
within a second, since each run is forked from a process that has imported pytest and the libraries. In the second,
all other tests that execute the changed lines try the survivors. That needs a record of what tests execute, which
takes some minutes; it is kept in `.mutants` until the package or a helper of the tests changes. `--quick` leaves the
second round out. A round takes up to `--patience` for a survivor.

`--swap` judges nine mutants of ten, those of functions, much faster, by the tests of the folders that mirror theirs or
of `--tests`: each mutant is swapped into a fork of one session of pytest. So all mutants of a room can be tried.

    points.py        where a file can be mutated
    equivalents.py   mutants that behave as the original does
    sampling.py      which mutants to try, in which order
    project.py       the package, its tests, and private copies of the checkout
    likely.py        which tests are likely to notice a mutant, by names and imports
    records.py       which tests can notice a mutant, by what they execute
    judging.py       the outcome for one mutant
    swapping.py      mutants of functions, swapped in forks of one session of pytest
    process.py       runs of pytest, each in a process of its own
    server.py        forks these processes
    plugin.py        in such a process: selects tests, records what they execute
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
