"""A board of notes: the app of the tests' project."""
