from django.urls import path

from tests.django.board import views

urlpatterns = [
    path("notes/", views.notes),
    path("async/notes/", views.async_notes),
    path("stream/", views.stream),
]
