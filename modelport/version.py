"""The version, readable without importing NumPy."""

__version__ = "1.0.0rc1"
