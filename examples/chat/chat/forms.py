from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.utils.text import slugify


class NameForm(forms.Form):
    name = forms.CharField(
        label="Your name",
        max_length=30,
        validators=[UnicodeUsernameValidator()],
        widget=forms.TextInput(attrs={"autocomplete": "nickname", "autofocus": True}),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        user = User.objects.filter(username=name).first()
        if user is not None and user.has_usable_password():
            raise forms.ValidationError("This name has a password. Pick another.")
        return name


class RoomForm(forms.Form):
    name = forms.CharField(
        label="New room", max_length=50, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def clean_name(self) -> str:
        slug: str = slugify(self.cleaned_data["name"])
        if not slug:
            raise forms.ValidationError("Use letters from a to z or digits.")
        return slug
