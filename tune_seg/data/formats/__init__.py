"""The readers: a file for each format in which data sets are published."""
