"""The worker of split mode: sockets and requests of other processes, whose consumers run here."""

__all__: list[str] = []
