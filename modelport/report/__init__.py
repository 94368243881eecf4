"""A verification as one HTML file that a person can read: what the model is, who answers as it does, and where it parts.

>>> from modelport.report import gather, write_report
>>> gather.__module__, write_report.__module__
('modelport.report.facts', 'modelport.report.write')
"""

from __future__ import annotations

from .facts import ArtifactFacts, Facts, gather
from .write import write_page, write_report

__all__ = ["ArtifactFacts", "Facts", "gather", "write_page", "write_report"]
