from django.forms import modelform_factory
from django.shortcuts import redirect, render

from liveblog.models import Post

PostForm = modelform_factory(Post, fields=["content"])


def liveblog(request):
    if request.method == "POST" and request.user.is_authenticated:
        edited = Post.objects.filter(pk=request.POST.get("id") or None).first()
        form = PostForm(request.POST, instance=edited)
        if form.is_valid():
            form.save()
        return redirect("/liveblog/")
    return render(request, "liveblog/liveblog.html", {"posts": Post.objects.order_by("pk")})
