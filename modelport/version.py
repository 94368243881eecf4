"""The version, readable without importing NumPy."""

__version__ = "0.1.0"
