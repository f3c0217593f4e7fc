"""Where evaluations run: one file an executor."""
