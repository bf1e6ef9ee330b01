"""tune_seg: find the loss, schedule and settings that serve a segmentation data set with rare classes."""
