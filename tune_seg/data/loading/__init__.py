"""From packed data to the batches of an epoch."""
