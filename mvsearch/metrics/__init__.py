"""Objectives, constraints, records and Pareto fronts. No torch, no Optuna."""
