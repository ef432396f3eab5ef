"""Data in and out: CVAT, FiftyOne, training folders, taxonomies, rendered quadrats."""
