from django.contrib.auth.decorators import login_required
from django.shortcuts import get_object_or_404, render

from rooms.models import Room


@login_required
def room(request, slug):
    found = get_object_or_404(Room, slug=slug)
    return render(request, "rooms/room.html", {"room": found})
