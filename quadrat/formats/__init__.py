"""Files that shapes travel in: shapes JSON (ours, exact), COCO, CVAT XML, and overlays to look at."""
