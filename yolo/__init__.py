"""ultralytics as this project uses it: what `coral_seg_yolo` and `grid_pose_detection` share, and neither owns."""
