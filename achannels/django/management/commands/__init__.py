"""The commands of `manage.py`, found by their names."""
