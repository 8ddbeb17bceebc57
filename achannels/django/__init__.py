"""The Django side: settings, checks, sessions, users, database connections, `runserver`, test cases."""

__all__: list[str] = []
