"""Print the annotation `spec` of a function.yaml for a layout: `python -m deploy.spec LAYOUT [--label NAME]`.

A layout is a built-in name or a file (`quadrat.template.load`). Put what is printed in place of the `spec` of a copy of
``function.yaml`` that the function for that layout gets.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path

from deploy.serving import labels
from quadrat import template

_POINTS_A_LINE = 3


def spec_text(layout: template.Template) -> str:
    """YAML of the annotation: a folded block, so that the label's long picture takes a line a point."""
    label = labels.skeleton_for(layout)
    head = json.dumps({key: label[key] for key in ("name", "type", "attributes")}).removesuffix("}")
    points = [json.dumps(point) for point in label["sublabels"]]
    rows = [", ".join(points[k : k + _POINTS_A_LINE]) for k in range(0, len(points), _POINTS_A_LINE)]
    circles = json.dumps(" ".join(label["svg"].split())).replace("></circle> ", "></circle>\n")
    block = [f"[{head},", '"sublabels": [', ",\n".join(rows), '], "svg":', circles, "}]"]
    return textwrap.indent("spec: >-\n" + textwrap.indent("\n".join(block), "  "), "    ")


def main(layout: str | Path, *, label: str | None = None) -> str:
    """The annotation for a layout.

    Args:
        layout: built-in name or file.
        label: class name instead of the layout's own.

    Raises:
        ValueError: no such layout.
    """
    return spec_text(template.load(layout, label))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.spec", description=__doc__.splitlines()[0])
    parser.add_argument("layout", metavar="LAYOUT", help="a built-in name or a file")
    parser.add_argument("--label", help="class name in CVAT (default: the layout's)")
    try:
        print(main(**vars(parser.parse_args())))
    except ValueError as problem:
        sys.exit(f"spec: {problem}")
