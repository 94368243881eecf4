"""modelport plugins for toyframework and toytable."""
