"""Results as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("case", "ours", "peer", "ratio", "quartiles", "target")


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """One row a case: medians, the ratio of times (peer / ours) with its quartiles, and the target."""
    lines = [f"| {' | '.join(_HEAD)} |", f"|{'---|' * len(_HEAD)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_row(result))} |" for result in results)])


def page(module: str, results: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """All that a run found: the table, what each case measures and on what, and the machine."""
    heading = f"# {module}\n\n{table(results)}"
    return "\n\n".join([heading, *map(details, results), f"Machine: {sentence(machine)}."]) + "\n"


def details(result: Mapping[str, Any]) -> str:
    """What a case measures, on what, and the further figures that it found."""
    against = f" against {result['peer']}" if result["peer"] else ""
    conditions = f"{result['photo']}; objects: {result['objects']}; {result['encoding']}; {result['precision']}"
    text = f"**{result['name']}**: {result['measures']}{against}. {conditions}."
    facts = result.get("facts") or {}
    return text + "".join(f"\n- {_words(name)}: {_value(value)}" for name, value in facts.items())


def sentence(machine: Mapping[str, Any]) -> str:
    """The machine in one sentence, without its packages."""
    vectors = ", ".join(machine["vector_instructions"]) or "no vector instructions known"
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']} ({vectors}), {machine['cores']} cores, {machine['memory_gib']} GiB, load average"
        f" {machine['load_average']} at the start, {machine['system']}, Python {machine['python']}; {packages}"
    )


def _row(result: Mapping[str, Any]) -> list[str]:
    name, target = str(result["name"]), result["target"]
    wanted = "" if target is None else f"{target:g}"
    if "skipped" in result:
        return [name, "skipped", f"`{result['skipped']}`", "", "", wanted]
    ours, peer, ratio, spread = (result[key] for key in ("ours_ms", "peer_ms", "ratio", "ratio_quartiles"))
    if ratio is None:
        return [name, _time(ours), "", "", "", wanted]
    verdict = "" if target is None else f"{wanted}: {'reached' if result['reached'] else 'missed'}"
    return [name, _time(ours), _time(peer), _three(ratio), f"{_three(spread[0])} to {_three(spread[1])}", verdict]


def _time(ms: float) -> str:
    return f"{_three(ms)} ms" if ms < 10_000 else f"{ms / 1000:.1f} s"


def _three(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(key))} {_value(part)}" for key, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
