import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# A demo: see README.md before you put it on the internet.
DEBUG = True
SECRET_KEY = "django-insecure-everybody-can-read-this-one"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *os.environ.get("CHAT_HOSTS", "").split()]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "achannels",  # all that sockets need: the layer is in memory, the routing is mysite/routing.py
    "chat",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
ROOT_URLCONF = "mysite.urls"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("CHAT_DATABASE", BASE_DIR / "chat.sqlite3"),
        "OPTIONS": {  # several threads write; readers do not wait for them
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
            "transaction_mode": "IMMEDIATE",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "sign_in"
LOGOUT_REDIRECT_URL = "sign_in"
TIME_ZONE = "UTC"
USE_TZ = True

# runserver serves these files by itself, under other servers mysite/asgi.py does. On a real site
# that is the work of a web server in front, or of a package such as whitenoise.
STATIC_URL = "static/"
