"""The Celery application: carries doorbells; what is to be done stands in the database."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")

app = Celery("ftportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
