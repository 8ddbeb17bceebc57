"""`channels.delay`: an app that keeps messages in the database until they are due."""

__all__: list[str] = []
