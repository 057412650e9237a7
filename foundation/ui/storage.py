"""Static files under hashed names, JavaScript modules rewritten to find each other."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class ModuleManifestStorage(CompressedManifestStaticFilesStorage):
    """Hashed names for ever-cached files; imports inside our modules follow the hashed names too."""

    support_js_module_import_aggregation = True
