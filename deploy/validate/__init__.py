"""Check function.yaml files strictly: `python -m deploy.validate [FILE ...]`.

No official schema of Nuclio's function configuration exists and nuctl drops what it does not know without a word, so
the legal fields are listed in `fields` (read from Nuclio 1.15's source). Without FILE all functions of the project are
checked, also against their weights, constraints.txt and each other (`project`).
"""

from __future__ import annotations

from deploy.validate.structure import check_file, faults

__all__ = ["check_file", "faults"]
