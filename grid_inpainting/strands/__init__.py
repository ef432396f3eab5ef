"""Strings followed through a photo: where they are to be expected, what their yarn looks like, where each is seen."""
