"""Worker processes and how they are known to be alive."""
