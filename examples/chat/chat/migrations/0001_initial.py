import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def open_lobby(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("chat", "Room").objects.create(slug="lobby")


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Room",
            fields=[("slug", models.SlugField(primary_key=True, serialize=False))],
        ),
        migrations.CreateModel(
            name="Line",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("said", "Said"), ("joined", "Joined"), ("left", "Left")],
                        max_length=6,
                    ),
                ),
                ("name", models.CharField(max_length=150)),
                ("text", models.TextField(blank=True)),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "room",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="chat.room",
                    ),
                ),
            ],
        ),
        migrations.RunPython(open_lobby, migrations.RunPython.noop),
    )
