"""Rendered photographs of coral quadrats with truth: seeded, reproducible, and drawn only with numpy and OpenCV."""
