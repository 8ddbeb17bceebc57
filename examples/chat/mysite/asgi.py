import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from achannels.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = ASGIStaticFilesHandler(get_asgi_application())  # type: ignore[arg-type]
