"""Where the stubs of this package are: the plugin module of the entry point `toy` in the group `modelport.stubs`."""

from pathlib import Path

FOLDERS = [Path(__file__).parent / "stub"]
