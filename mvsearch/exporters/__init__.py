"""Formats in which a network leaves: one file a format. Read back, it is the same network.

exporters/x.py
  SUFFIX                          what the file's name ends with
  export(arch, path)              write the file, whole or not at all
"""
