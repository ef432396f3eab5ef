"""DINOv2 with a segmentation head: a class for every pixel, then colonies."""
