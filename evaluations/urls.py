"""Addresses of evaluating."""

from django.urls import URLPattern, URLResolver

from evaluations import views
from evaluations.models import Comparison, Evaluation
from foundation.teams.routes import object_path

app_name = "evaluations"
urlpatterns: list[URLPattern | URLResolver] = [
    object_path("evaluations/<int:pk>/", views.evaluation_detail, Evaluation, name="evaluation-detail"),
    object_path("comparisons/<int:pk>/", views.comparison_detail, Comparison, name="comparison-detail"),
]
