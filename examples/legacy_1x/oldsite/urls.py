from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import CreateView, TemplateView

from liveblog.views import liveblog
from reports.views import reports
from rooms.views import room
from tasks.views import tasks

sign_up = CreateView.as_view(
    form_class=UserCreationForm, template_name="registration/sign_up.html", success_url="/log-in/"
)

urlpatterns = [
    path("", TemplateView.as_view(template_name="index.html")),
    path("rooms/<slug:slug>/", room),
    path("liveblog/", liveblog),
    path("tasks/", tasks),
    path("reports/", reports),
    path("log-in/", LoginView.as_view(), name="login"),
    path("log-out/", LogoutView.as_view(), name="logout"),
    path("sign-up/", sign_up, name="sign_up"),
]
