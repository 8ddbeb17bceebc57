from django.db import migrations


def open_lobby(apps, schema_editor):
    apps.get_model("rooms", "Room").objects.create(slug="lobby", title="Lobby")


class Migration(migrations.Migration):
    dependencies = [("rooms", "0001_initial")]
    operations = [migrations.RunPython(open_lobby, migrations.RunPython.noop)]
