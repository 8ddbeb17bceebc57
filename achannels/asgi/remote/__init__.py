"""The interface of split mode: sockets and requests here, their consumers in worker processes."""

__all__: list[str] = []
