"""The version, in the one place that both the build and the running package read.

It imports nothing, so that the build can read it without the dependencies.
"""

__version__: str = "0.1.0"
