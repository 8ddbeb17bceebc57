"""The server applications that are compared: the same behaviour, written for each peer."""
