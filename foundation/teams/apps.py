from django.apps import AppConfig


class TeamsConfig(AppConfig):
    name = "foundation.teams"
    label = "teams"
    verbose_name = "people"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the signals, and put the admin behind the one sign-in (password, passkey, codes)."""
        from allauth.account.decorators import secure_admin_login
        from django.contrib import admin

        from foundation.teams import signals  # noqa: F401

        admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
