"""The figures of a study: a file each, with a function from what the study holds to a figure of plotly."""
