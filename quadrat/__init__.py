"""The ground floor: what a photo, a shape, a tile, a quadrat and an experiment are.

Every other room of the project stands on this package and it imports none of them. Coordinates are pixels of
the image as given, x to the right and y down; the corner of the top-left pixel is (0, 0), its centre (0.5, 0.5).
"""
