from importlib import import_module

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "foundation.jobs"
    label = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.conf import settings  # settings are complete only now

        for module in settings.JOBS_EXTRA_KINDS:
            import_module(module).register()
