"""The stubs of this repository, as the folders under stubs/ say: tests that list every stub ask here."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "stubs"
#: name -> what its stub.json says, in the order in which modelport lists them
SAID = {said["name"]: said for said in (json.loads(p.read_text(encoding="utf-8")) for p in sorted(FOLDER.glob("*/stub.json")))}
#: names of the stubs that run JSON artifacts
NAMES = sorted(name for name, said in SAID.items() if said["format"] == "json")
#: those that need a program beside Python
FOREIGN = [name for name in NAMES if SAID[name].get("needs")]
#: the environment variables that name those programs (modelport/stubs.py)
VARIABLES = sorted({f"MODELPORT_{need.upper()}" for name in FOREIGN for need in SAID[name]["needs"]})
