from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from reports.models import Report


@login_required
def reports(request):
    return render(request, "reports/reports.html", {"reports": Report.objects.order_by("pk")})
