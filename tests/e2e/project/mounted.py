"""The same project mounted in a Starlette app that passes no lifespan on."""

from starlette.applications import Starlette
from starlette.routing import Mount

from achannels.asgi import get_asgi_application

application = Starlette(routes=[Mount("/live", get_asgi_application())])
