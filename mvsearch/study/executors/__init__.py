"""Where evaluations run: one file for each executor."""
