"""One training loop and its recipes: what the proxy `train` runs for a minute is what a long training runs for days."""
