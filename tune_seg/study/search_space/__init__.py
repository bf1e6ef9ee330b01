"""The search space, and the samplers that draw from it. Optuna is used here."""
