"""Helpers without domain knowledge: plug-ins, files, YAML, settings, units, the machine."""
