"""Training runs (written with datasets/training)."""
