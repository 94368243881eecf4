from __future__ import annotations
def fused(b, steps, outputs):
    return list(steps)
