"""The web process."""

import os
from importlib import import_module

from django.conf import settings
from django.core.asgi import get_asgi_application

from foundation.database import garbage

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ftportal.settings")
application = get_asgi_application()
# The first visitor waits for no module, and no later one for a search for garbage through all of them.
import_module(settings.ROOT_URLCONF)
garbage.settle()
