"""The grid painted out of quadrat photographs with LaMa: the strings' mask, the painter, and its training."""
