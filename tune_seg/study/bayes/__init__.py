"""Bayesian optimisation of a search space with conditions. It knows neither Optuna nor Ray."""
