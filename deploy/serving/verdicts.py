"""What a predictor that judges its result says of it, in response headers: CVAT has no place for it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from quadrat.verdict import FAILED, Judged

VERDICT, SCORE, REASONS, LAYOUT = (f"X-Quadrat-{name}" for name in ("Verdict", "Score", "Reasons", "Layout"))

_LONGEST = 1000


def headers(judged: Judged, threshold: float | None) -> dict[str, str]:
    """Verdict, score and, where there are any, reasons and the layout of the points.

    Args:
        judged: the result.
        threshold: lowest score that the caller wants: below it there are no shapes, whatever the verdict.
    """
    verdict = judged.verdict
    reasons = list(verdict.reasons)
    if not judged.shapes and verdict.status != FAILED and threshold is not None:
        reasons.append(f"its score {verdict.score:.2f} is below the threshold {threshold:.2f}")
    told = {VERDICT: verdict.status, SCORE: f"{verdict.score:.3f}", REASONS: _joined(reasons)}
    told[LAYOUT] = next((shape.attributes.get("layout", "") for shape in judged.shapes), "")
    return {name: text for name, text in told.items() if text}


def _joined(reasons: Sequence[str]) -> str:
    """The reasons, of which the worst come first, as far as a header has room for them."""
    longer = list(accumulate(reasons, "{}; {}".format))
    fitting = [text for text in longer if len(text) <= _LONGEST]
    if len(fitting) == len(longer):
        return fitting[-1] if fitting else ""
    return f"{fitting[-1] if fitting else longer[0][:_LONGEST]}; and {len(longer) - max(len(fitting), 1)} more"
