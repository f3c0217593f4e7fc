"""A network as a file: an architecture with weights, written in a format and verified."""
