"""A NUL character in an address reaches no database."""

from django.http import HttpResponse
from django.test import RequestFactory

from foundation.ui.nul import NoNulMiddleware


def test_a_nul_in_the_query_is_dropped_and_the_rest_stays():
    seen = {}

    def view(request):
        seen.update(request.GET.items())
        return HttpResponse()

    NoNulMiddleware(view)(RequestFactory().get("/?label=%00a%2500%0%000&show=worse"))
    assert seen == {"label": "a%00", "show": "worse"}
