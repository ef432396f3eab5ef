"""YOLO instance segmentation of coral colonies: prepare, train, evaluate, predict, export, and `model.load`."""
