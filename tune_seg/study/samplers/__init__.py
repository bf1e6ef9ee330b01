"""What chooses the next configuration of a study. Optuna is used here."""
