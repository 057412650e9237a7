from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LlmConfig(AppConfig):
    name = "foundation.llm"
    label = "llm"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from foundation.llm import catalogue  # models must be loaded first

        post_migrate.connect(catalogue.load_after_migrate, sender=self)
