"""Figures: each is computed as plain data first, then drawn."""
