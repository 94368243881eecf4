"""The pytest plugin: the fixture and the mark `parity`, one test per format and consumer, and baselines.

pytest finds it by itself (the entry point `modelport` of the group `pytest11`). Loading it imports neither NumPy nor a
framework: that waits until a test asks for parity. docs/ci.md shows how it is used.
"""
