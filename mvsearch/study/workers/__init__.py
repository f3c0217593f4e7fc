"""Worker processes of a study, and how others know that they are alive."""
