"""The figures of published tables, and a study beside them."""
