from django.apps import AppConfig

from deployments.folding import watch_connections


class DeploymentsConfig(AppConfig):
    name = "deployments"
    label = "deployments"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        watch_connections()
