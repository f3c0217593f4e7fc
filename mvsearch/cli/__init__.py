"""The command line, one file a command: parse the options, call one function, print. Slow imports are in functions."""
