from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db.models import Count, F, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from chat.consumers import LONGEST
from chat.forms import NameForm, RoomForm
from chat.models import Line, Room


def sign_in(request: HttpRequest) -> HttpResponse:
    """Log in whoever picks a name. For a demo: nothing is asked that only one person knows."""
    there = request.POST.get("next", request.GET.get("next", ""))
    form = NameForm(request.POST or None)
    if form.is_valid():
        no_password = {"password": make_password(None)}
        name = form.cleaned_data["name"]
        user, _ = User.objects.get_or_create(username=name, defaults=no_password)
        login(request, user)
        safe = url_has_allowed_host_and_scheme(
            there, allowed_hosts={request.get_host()}, require_https=request.is_secure()
        )
        return redirect(there if safe else "rooms")
    return render(request, "chat/sign_in.html", {"form": form, "next": there})


@login_required
def rooms(request: HttpRequest) -> HttpResponse:
    form = RoomForm(request.POST or None)
    if form.is_valid():
        room, _ = Room.objects.get_or_create(slug=form.cleaned_data["name"])
        return redirect("room", room=room.slug)
    found = Room.objects.annotate(
        said=Count("lines", filter=Q(lines__kind=Line.Kind.SAID)), last=Max("lines__at")
    ).order_by(F("last").desc(nulls_last=True), "slug")
    return render(request, "chat/rooms.html", {"rooms": found, "form": form})


@login_required
def room(request: HttpRequest, room: str) -> HttpResponse:
    found = get_object_or_404(Room, slug=room)
    return render(request, "chat/room.html", {"room": found, "longest": LONGEST})
