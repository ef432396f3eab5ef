"""Does a segmentation agree with the truth better once the strings are removed?

Its `predict` command is run as a process of its own on the photos with strings, on those from which they were removed,
and on the true ones without; it is known by what it writes, ``OUT/shapes/NAME.json``.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

from grid_inpainting.folder import Pair
from quadrat import images
from quadrat.formats import shapes_json
from quadrat.shapes import Annotations

VARIANTS = ("strings", "removed", "clean")
"""Photos with strings, with them removed, and the true ones without."""


class Comparison:
    """Photos in three variants, to be segmented.

    Args:
        folder: an empty one for photos and predictions.
        command: such as ``python -m coral_seg_yolo.predict``; gets a folder of photos and ``--out``. ``python`` is the
            one that runs this.
        level: taxonomy level of what the command finds.
    """

    def __init__(self, folder: Path, command: str, level: str = "genus") -> None:
        self.folder, self.command, self.level = folder, _words(command), level
        self.truths: dict[str, Annotations] = {}

    def add(self, pair: Pair, removed_rgb: images.Rgb, known: Annotations) -> None:
        """Take a photo, the same with its strings removed, and what is true of it."""
        assert pair.photo is not None
        for variant, source in (("strings", pair.photo), ("clean", pair.clean)):
            target = self.folder / variant / f"{pair.name}{source.suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
        images.write(self.folder / "removed" / f"{pair.name}.png", removed_rgb)
        self.truths[pair.name] = known

    def figures(self) -> dict[str, Any]:
        """Segment and score: ``command``, ``level``, ``photos``, and `data_engineering.score.Score` by variant.

        Raises:
            ValueError: the command fails, or leaves out a photo.
        """
        from data_engineering import taxonomy
        from data_engineering.score import score

        def at_level(known: Annotations) -> Annotations:
            named = (replace(one, label=taxonomy.to_level(one.label, self.level)) for one in known.instances)
            return replace(known, shapes=tuple(named))

        truths = [at_level(known) for known in self.truths.values()]
        scores = {variant: asdict(score(truths, self._predict(variant))) for variant in VARIANTS}
        told = {
            variant: {key: value if isfinite(value) else None for key, value in one.items()}
            for variant, one in scores.items()
        }
        return {"command": shlex.join(self.command), "level": self.level, "photos": len(truths), **told}

    def _predict(self, variant: str) -> list[Annotations]:
        """What the command finds, in the order of `truths`."""
        out = self.folder / f"predicted-{variant}"
        command = [*self.command, str(self.folder / variant), "--out", str(out)]
        print(f"segmenting {len(self.truths)} photos ({variant}): {shlex.join(self.command)}", file=sys.stderr)
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if ran.returncode:
            last = "\n".join(ran.stdout.splitlines()[-8:])
            raise ValueError(f"`{shlex.join(command)}` ended with status {ran.returncode}:\n{last}")
        paths = [out / "shapes" / f"{name}.json" for name in self.truths]
        if missing := [path.name for path in paths if not path.is_file()]:
            raise ValueError(f"`{shlex.join(command)}` wrote no {', '.join(missing[:3])} into {out / 'shapes'}")
        return [shapes_json.read(path) for path in paths]


def _words(command: str) -> Sequence[str]:
    words = shlex.split(command)
    if not words:
        raise ValueError("the segmentation command is empty: expected such as 'python -m coral_seg_yolo.predict'")
    return [sys.executable, *words[1:]] if words[0] in ("python", "python3") else words
