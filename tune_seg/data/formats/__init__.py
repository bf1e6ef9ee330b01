"""The formats in which data sets are published, a file for each; :mod:`tune_seg.format_names` lists them."""
