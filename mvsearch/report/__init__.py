"""Records in, something to look at out. Numbers first, as data that can be tested; drawing second."""
