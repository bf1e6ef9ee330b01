"""A study: which trials there are, where they run, and what became of them. What is below knows nothing of it."""
