"""Django's ORM and migrations (on psycopg 3) through a pool. See pool_checks.py.

`iterator()` outside of a transaction declares a cursor WITH HOLD, which lives in one backend.
"""

import contextlib
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import django
from django.conf import settings as django_settings

from checks import dsn, expect, unique_name
from pool_checks import Adapter, PoolChecks, elsewhere, everything, percent, sleep

APP = unique_name("pool_zoo")


def configure():
    url = urlsplit(dsn())
    options = dict(parse_qsl(url.query)) | {"connect_timeout": 30}
    database = {
        "ENGINE": "django.db.backends.postgresql", "NAME": unquote(url.path[1:]), "USER": unquote(url.username),
        "PASSWORD": unquote(url.password), "HOST": url.hostname, "PORT": url.port, "CONN_MAX_AGE": None,
        "OPTIONS": options,
    }
    django_settings.configure(
        DATABASES={"default": database}, INSTALLED_APPS=["django.contrib.contenttypes", APP], USE_TZ=True,
        TIME_ZONE="Europe/Berlin", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()


MODELS = """
from django.db import models

class Cage(models.Model):
    name = models.CharField(max_length=40, unique=True)

class Animal(models.Model):
    cage = models.ForeignKey(Cage, on_delete=models.CASCADE)
    legs = models.IntegerField()
    born = models.DateTimeField(auto_now_add=True)
"""


def make_app(directory):
    """An application with models; its migrations are made by Django itself."""
    home = Path(directory) / APP
    (home / "migrations").mkdir(parents=True)
    (home / "__init__.py").touch()
    (home / "migrations" / "__init__.py").touch()
    (home / "models.py").write_text(MODELS)
    sys.path.insert(0, directory)
    # Django would list every file of the checkout's folder otherwise.
    sys.dont_write_bytecode = True


class Django(Adapter):
    def __init__(self):
        from django.db import connection
        self.raw = connection.copy()

    def rows(self, text, *values):
        with self.raw.cursor() as cursor:
            cursor.execute(percent(text) if values else text, values or None)
            return cursor.fetchall() if cursor.description else []

    def plain(self, text):
        self.rows(text)

    def state(self, error):
        return getattr(error.__cause__, "sqlstate", None)

    def close(self):
        self.raw.close()


def migrations(t):
    from django.core.management import call_command

    with t.check("makemigrations and migrate"):
        call_command("makemigrations", APP, verbosity=0)
        call_command("migrate", verbosity=0, interactive=False)
        call_command("migrate", verbosity=0, interactive=False)


def orm(t, b):
    from django.apps import apps
    from django.db import IntegrityError, connection, transaction
    Cage, Animal = (apps.get_model(APP, name) for name in ("Cage", "Animal"))

    with t.check("rows, transactions, savepoints"):
        with transaction.atomic():
            cage = Cage.objects.create(name="one")
            Animal.objects.bulk_create([Animal(cage=cage, legs=i % 5) for i in range(500)])
            with contextlib.suppress(IntegrityError), transaction.atomic():
                Cage.objects.create(name="one")
            expect(Cage.objects.count(), 1)
        with contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Cage.objects.create(name="dropped")
            raise ZeroDivisionError
        with elsewhere(b):
            expect((Cage.objects.count(), Animal.objects.filter(cage__name="one", legs=2).count()), (1, 100))
        expect(Animal.objects.select_for_update().filter(legs=99).exists() if connection.in_atomic_block else False,
               False)

    with t.check("iterator() outside of a transaction"):
        rows = Animal.objects.order_by("id").iterator(chunk_size=50)
        total = 0
        for animal in rows:
            total += animal.legs
            if total % 97 == 0:
                with elsewhere(b):
                    expect(Cage.objects.filter(name="one").count(), 1)
        expect(total, 1000)

    with t.check("get_or_create, update, aggregates"):
        from django.db.models import Avg, F
        expect(Cage.objects.get_or_create(name="one")[1], False)
        Animal.objects.filter(legs=4).update(legs=F("legs") + 1)
        with elsewhere(b):
            expect(float(Animal.objects.aggregate(a=Avg("legs"))["a"]), 2.2)


def clean_up(t):
    from django.core.management import call_command
    from django.db import connection

    with t.check("migrate back to nothing"):
        call_command("migrate", APP, "zero", verbosity=0, interactive=False)
        call_command("migrate", "contenttypes", "zero", verbosity=0, interactive=False)
        connection.cursor().execute("drop table django_migrations")
        connection.close()


def main():
    with tempfile.TemporaryDirectory() as directory:
        make_app(directory)
        configure()
        t = PoolChecks("django")
        a, b = everything(t, Django)
        migrations(t)
        orm(t, b)
        clean_up(t)
        sleep(t, Django, a, b)


main()
