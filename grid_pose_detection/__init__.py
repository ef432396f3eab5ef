"""Corners and grid intersections of quadrats, found by a network and matched to a template."""
