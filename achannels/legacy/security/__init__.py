"""`channels.security`."""

__all__: list[str] = []
