from django.shortcuts import render

from tasks.models import Task


def tasks(request):
    return render(request, "tasks/tasks.html", {"tasks": Task.objects.order_by("pk")})
