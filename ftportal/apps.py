from django.apps import AppConfig


class RoofConfig(AppConfig):
    name = "ftportal"
    label = "ftportal"

    def ready(self) -> None:
        from ftportal import gather  # the app registry must be complete first

        gather.gather()
