"""The ASGI side: sockets and requests as messages, and back."""

from achannels.asgi.application import Application, get_asgi_application

__all__ = ["Application", "get_asgi_application"]
