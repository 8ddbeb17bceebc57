"""`channels.staticfiles`: static files, found where the apps have them, for development."""

from urllib.parse import urlparse

from django.conf import settings
from django.contrib.staticfiles.handlers import StaticFilesHandlerMixin
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views import debug

from achannels.legacy.handler import AsgiHandler, ViewConsumer


class StaticFilesHandler(StaticFilesHandlerMixin, AsgiHandler):
    """Answers requests below `STATIC_URL` with files, whatever `DEBUG` says; others as views do.

    Where there is no such file, the views answer, or with `DEBUG` the page that says so. With a
    `STATIC_URL` on another host no request is for a file.
    """

    def __init__(self) -> None:
        self.base_url = urlparse(self.get_base_url())
        super().__init__()

    def load_middleware(self, is_async: bool = False) -> None:
        """Load the middleware, for the requests that views answer."""
        AsgiHandler.load_middleware(self, is_async)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Return a file, or the response of a view."""
        if self._should_handle(request.path):
            try:
                return self.serve(request)
            except Http404 as error:
                if settings.DEBUG:
                    return debug.technical_404_response(request, error)
            except SuspiciousOperation as error:  # a path that leads out of the folders
                return response_for_exception(request, error)
        return AsgiHandler.get_response(self, request)


class StaticFilesConsumer(ViewConsumer):
    """The consumer of `http.request` that answers with files as well."""

    handler_class = StaticFilesHandler


__all__ = ["StaticFilesConsumer", "StaticFilesHandler"]
