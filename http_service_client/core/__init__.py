"""The part that decides and performs nothing: plans that yield effects and are sent the answers.

`pipeline` is the table of contents. `effects` has the rules of plans. `machines/` are state machines that know no
call; `layers/` are their use in one.
"""
