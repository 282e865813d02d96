"""The version of the package, which is also told to servers."""

__version__ = "0.1.0"
