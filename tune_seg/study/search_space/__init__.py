"""The search space: which keys of the configuration a study varies, over what, and when."""
