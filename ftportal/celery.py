"""The Celery application: carries doorbells; what is to be done stands in the database."""

import os

from celery import Celery
from kombu.transport import redis as queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")

app = Celery("ftportal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# A worker that has lost its queue gives back doorbells it holds, over a connection that is gone: where that fails in the
# wrong moment the worker ends, and with it the work of its children. A doorbell need not be given back: the tick rings
# again.
queue.QoS.restore_at_shutdown = False
