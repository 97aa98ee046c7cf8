"""This client inside other frameworks: one module for each, which names the extra to install when it is missing.

neuroglia: the client in the container and the host of a neuroglia application.
"""
