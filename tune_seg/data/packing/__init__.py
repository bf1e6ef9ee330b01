"""The packed file of a data set: how it is laid out, written and read."""
