"""Settings of the portal. Every value comes from the environment or from `var/`; nonsense is refused aloud."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured

from foundation.jobs import beat

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Everything the portal makes for itself stands under VAR_DIR (database, secrets, files, sockets, logs).
VAR_DIR = Path(os.environ.get("VAR_DIR") or BASE_DIR / "var").resolve()
TESTING = "pytest" in sys.modules


def _flag(name: str, default: bool) -> bool:
    raw = os.environ.get(name, "").strip().lower()
    if raw in ("", None):
        return default
    if raw in ("1", "true", "yes", "on"):
        return True
    if raw in ("0", "false", "no", "off"):
        return False
    raise ImproperlyConfigured(f"{name} must be yes or no, it is {raw!r}.")


def _number(name: str, default: int, low: int, high: int) -> int:
    raw = os.environ.get(name, "").strip()
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, it is {raw!r}.") from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be between {low} and {high}, it is {value}.")
    return value


def _secret(name: str, length: int = 50) -> str:
    """The secret from the environment, else from var/secrets (made once, mode 0600)."""
    if value := os.environ.get(name, "").strip():
        if len(value) < 32:
            raise ImproperlyConfigured(f"{name} is too short to be a secret: give it at least 32 characters.")
        return value
    if PRODUCTION:
        raise ImproperlyConfigured(f"{name} is not set. Production needs one: set it in the environment.")
    path = VAR_DIR / "secrets" / name.lower()
    try:
        if path.exists():
            return path.read_text().strip()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as out:
            value = secrets.token_urlsafe(length)
            out.write(value)
        return value
    except FileExistsError:
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot write to {path.parent}: {error.strerror}. Set VAR_DIR to a folder of yours."
        ) from None


PRODUCTION = _flag("PRODUCTION", False)
DEBUG = _flag("DEBUG", False)
if PRODUCTION and DEBUG:
    raise ImproperlyConfigured("DEBUG must be off in production.")

SECRET_KEY = _secret("SECRET_KEY")
# Keys that encrypt provider keys at rest, newest first; not SECRET_KEY, so that each can be changed alone.
PORTAL_KEYS = [k for k in _secret("PORTAL_KEYS").split(",") if k]

ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=[] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]", "testserver"]
)
if PRODUCTION and (not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must name the hosts this portal answers for, separated by commas."
    )
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PORTAL_URL = env.str("PORTAL_URL", default="")
# Where programs reach the gateway; `up` puts it one port above the portal.
GATEWAY_URL = (
    env.str("GATEWAY_URL", default="") or f"http://localhost:{_number('PORT', 8000, 1, 65534) + 1}"
).rstrip("/")

INSTALLED_APPS = [
    "ftportal.apps.RoofConfig",
    "deployments",
    "evaluations",
    "datasets",
    "decisions",
    "foundation.llm",
    "foundation.jobs",
    "foundation.files",
    "foundation.teams",
    "foundation.ui",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.forms",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "ninja",
]

MIDDLEWARE = [
    "foundation.ui.requestid.RequestIdMiddleware",
    "foundation.ui.nul.NoNulMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "foundation.ui.csp.ContentSecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "foundation.ui.errors.PlainErrorMiddleware",
    "foundation.teams.middleware.TeamMiddleware",
]

ROOT_URLCONF = "ftportal.urls"
ASGI_APPLICATION = "ftportal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "foundation.ui.context.page",
                "foundation.teams.context.people",
                "foundation.jobs.context.work",
                "ftportal.workspace.demo",
            ],
            "builtins": ["django.templatetags.static", "foundation.ui.templatetags.ui"],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- data ----------------------------------------------------------------------------------------------------------
# WAL and IMMEDIATE: writers queue for the lock instead of failing half-way (docs/decisions/0002, 0022).
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000; "
        # What the log is cut back to when it begins anew (foundation/database/wal.py).
        "PRAGMA journal_size_limit=8000000;"
    ),
}
# How PostgreSQL plans for the portal (docs/decisions/0016). Set it empty where a pooler refuses such options.
DATABASE_OPTIONS = os.environ.get(
    "DATABASE_OPTIONS", "-c random_page_cost=1.1 -c max_parallel_workers_per_gather=0 -c jit=off"
).strip()
DATABASE_URL = os.environ.get("DATABASE_URL", "").strip()
if DATABASE_URL:
    try:
        DATABASES = {"default": env.db_url_config(DATABASE_URL)}
        _engine = DATABASES["default"]["ENGINE"]
    except Exception:
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read. It looks like postgres://user:password@host:5432/name."
        ) from None
    if _engine == "django.db.backends.postgresql":
        DATABASES["default"]["OPTIONS"] = {
            "connect_timeout": 5,
            **({"options": DATABASE_OPTIONS} if DATABASE_OPTIONS else {}),
            **DATABASES["default"].get("OPTIONS", {}),
        }
        if not TESTING:
            DATABASES["default"]["OPTIONS"]["pool"] = {
                "min_size": 1,
                "max_size": _number("DATABASE_POOL", 8, 1, 200),
                "timeout": 5,
            }
else:
    if PRODUCTION:
        raise ImproperlyConfigured("DATABASE_URL is not set. Production runs on PostgreSQL.")
    DATABASES = {
        "default": {
            "ENGINE": "foundation.database.sqlite3",
            "NAME": VAR_DIR / "portal.sqlite3",
            "OPTIONS": SQLITE_OPTIONS,
            # Said aloud: tests side by side would name a file for a backend they do not know as SQLite's.
            "TEST": {"NAME": ":memory:"},
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FILES_DIR = VAR_DIR / "files"

CACHES = {
    "default": (
        {
            "BACKEND": "foundation.teams.caching.OpenRedisCache",
            "LOCATION": os.environ["CACHE_URL"],
            "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
        }
        if os.environ.get("CACHE_URL")
        # A table of every portal (migration teams.9002): what is counted of sign-ins holds in all its processes.
        # Django's own 300 rows would let one visitor push the counts of others out.
        else {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "portal_cache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    )
}

# --- work ----------------------------------------------------------------------------------------------------------


def _broker() -> str:
    for name in ("CELERY_BROKER_URL", "REDIS_URL"):
        if url := os.environ.get(name, "").strip():
            if not url.startswith(("redis://", "rediss://", "redis+socket://")):
                raise ImproperlyConfigured(f"{name} must start with redis://, rediss:// or redis+socket://.")
            return url
    # `manage.py up` records where its own queue server listens.
    recorded = VAR_DIR / "queue.url"
    return (
        recorded.read_text().strip()
        if recorded.exists()
        else "redis+socket://" + quote(str(VAR_DIR / "queue.sock"))
    )


CELERY_BROKER_URL = _broker()
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = _number("WORKER_SOFT_SHUTDOWN_S", 30, 0, 600)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Celery's own default gives up after 100 tries, and a worker that gave up ends: the queue may be away for a weekend.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A queue that answers with an error (its disk or memory is full, it is loading or being replaced) is away for a while, too;
# by Celery's default that one answer ends the worker as "unrecoverable".
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
# socket_timeout stands above the blocking pop's own poll, or every quiet second would look like a fault.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "health_check_interval": 15,
}
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
JOBS_TICK_S = _number("JOBS_TICK_S", 5, 1, 60)
# A worker that says nothing for so long has lost its work to others; it speaks every third of it.
JOBS_LEASE_S = _number("JOBS_LEASE_S", 15, 2, 600)
# Tests start no broker of their own accord: nobody is there to hear a doorbell.
JOBS_DOORBELL = _flag("JOBS_DOORBELL", not TESTING)
# Modules of further kinds of work, for tests that start real workers.
JOBS_EXTRA_KINDS = (
    env.list("JOBS_EXTRA_KINDS", default=[]) if _flag("TESTING", TESTING) and not PRODUCTION else []
)
CELERY_TASK_ROUTES = beat.ROUTES
CELERY_BEAT_SCHEDULE = beat.schedule(JOBS_TICK_S)

# --- people --------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "teams.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
if TESTING:
    # Real hashes cost 0.2 s a person, by intent; a test that signs in makes several.
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "foundation.teams.adapters.InvitationOnlyAdapter"
SOCIALACCOUNT_ADAPTER = "foundation.teams.adapters.InvitationOnlySocialAdapter"
ACCOUNT_FORMS = {"login": "foundation.teams.entrance.SignInForm"}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/300s/key"}
ACCOUNT_LOGOUT_ON_GET = False
MFA_ADAPTER = "foundation.teams.adapters.SealedSecondStepAdapter"
# Addresses are not verified by letter, because the portal works without e-mail; a second step is for everybody.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
SOCIALACCOUNT_PROVIDERS: dict = {}
if os.environ.get("OIDC_SERVER_URL"):
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("OIDC_NAME", default="Single sign-on"),
                "client_id": env.str("OIDC_CLIENT_ID"),
                "secret": env.str("OIDC_CLIENT_SECRET"),
                "settings": {"server_url": env.str("OIDC_SERVER_URL")},
            }
        ]
    }
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
EMAIL_IS_SET_UP = bool(os.environ.get("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="portal@localhost")

# --- pages ---------------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = False
STATIC_URL = "static/"
STATIC_ROOT = Path(os.environ.get("STATIC_ROOT") or VAR_DIR / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if TESTING or DEBUG
        else "foundation.ui.storage.ModuleManifestStorage"
    },
}
WHITENOISE_USE_FINDERS = TESTING or DEBUG
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000
UPLOAD_MAX_BYTES = _number("UPLOAD_MAX_MB", 2048, 1, 100_000) * 1024 * 1024
FILE_UPLOAD_HANDLERS = [
    "foundation.files.uploads.CapHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "foundation.ui.errors.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_SSL_REDIRECT = _flag("SSL_REDIRECT", True)
    SECURE_HSTS_SECONDS = _number("HSTS_SECONDS", 31_536_000, 0, 100_000_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]

# --- models --------------------------------------------------------------------------------------------------------
ANTHROPIC_API_KEY = os.environ.get("ANTHROPIC_API_KEY", "").strip()
ANTHROPIC_BASE_URL = os.environ.get("ANTHROPIC_BASE_URL", "").strip() or "https://api.anthropic.com"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["stderr"],
        "level": env.str("LOG_LEVEL", default="INFO" if not TESTING else "WARNING"),
    },
    "loggers": {"django.server": {"level": "WARNING"}, "httpx2": {"level": "WARNING"}},
}
