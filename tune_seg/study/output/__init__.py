"""What a study shows and leaves: the report, files, pictures and MLflow runs."""
