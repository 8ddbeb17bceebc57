from django.contrib.auth.views import LogoutView
from django.urls import path

from chat import views

urlpatterns = [
    path("", views.rooms, name="rooms"),
    path("chat/<slug:room>/", views.room, name="room"),
    path("sign-in/", views.sign_in, name="sign_in"),
    path("sign-out/", LogoutView.as_view(), name="sign_out"),
]
