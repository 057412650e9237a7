"""Static files under hashed names, JavaScript modules rewritten to find each other."""

from __future__ import annotations

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):
    """Hashed names for ever-cached files; imports inside our modules follow the hashed names too."""

    support_js_module_import_aggregation = True
    # Only our own modules: other packages speak of imports in comments, of files they do not ship.
    _js_module_import_aggregation_patterns = (
        "js/*.js",
        HashedFilesMixin._js_module_import_aggregation_patterns[1],  # type: ignore[attr-defined]
    )
