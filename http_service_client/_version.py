"""The version, in the one file that both the build and the running package read.

It imports nothing, so the build can read it without the dependencies.
"""

__version__: str = "0.1.0"
