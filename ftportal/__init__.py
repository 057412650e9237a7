"""The roof: how everything is gathered and run. No other floor imports it."""

from ftportal.celery import app as celery_app

__all__ = ["celery_app"]
