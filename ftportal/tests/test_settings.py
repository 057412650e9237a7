"""What the environment may say, and that the README says the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Read elsewhere than in the settings, and switches that only tests turn.
SAID_BY_OTHERS = {"DJANGO_SETTINGS_MODULE", "HOST", "PORT", "ADMIN_EMAIL", "ADMIN_PASSWORD"}
SAID_BY_OTHERS |= {"TESTING", "JOBS_DOORBELL", "JOBS_EXTRA_KINDS"}


def settings_with(tmp_path: Path, **env: str) -> subprocess.CompletedProcess:
    """Load the settings in a process of its own, with these variables."""
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    return subprocess.run(
        [sys.executable, "-c", "import ftportal.settings as s; print(s.DATABASES['default']['ENGINE'])"],
        cwd=ROOT,
        env={**clean, "VAR_DIR": str(tmp_path), **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_counts_of_sign_ins_are_not_pushed_out_by_a_few_hundred_others():
    """Django keeps 300 rows and then throws a third of them away, whoever's they are."""
    from django.core.cache.backends.db import DatabaseCache

    import ftportal.settings

    given = ftportal.settings.CACHES["default"]
    assert given["BACKEND"].endswith("DatabaseCache")
    assert DatabaseCache(given["LOCATION"], given)._max_entries == 100_000


PRODUCTION = {
    "PRODUCTION": "yes",
    "SECRET_KEY": "k" * 50,
    "PORTAL_KEYS": "p" * 50,
    "ALLOWED_HOSTS": "portal.example.com",
    "DATABASE_URL": "postgres://portal:secret@localhost/portal",
}


def test_a_fresh_machine_needs_no_setting(tmp_path):
    done = settings_with(tmp_path)
    assert done.stdout.strip() == "foundation.database.sqlite3", done.stderr
    assert (tmp_path / "secrets" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_production_with_all_it_needs_loads(tmp_path):
    done = settings_with(tmp_path, **PRODUCTION)
    assert done.stdout.strip() == "django.db.backends.postgresql", done.stderr
    assert not (tmp_path / "secrets").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"SECRET_KEY": ""}, "SECRET_KEY is not set", id="no secret"),
        pytest.param({"SECRET_KEY": "short"}, "SECRET_KEY is too short", id="short secret"),
        pytest.param({"PORTAL_KEYS": ""}, "PORTAL_KEYS is not set", id="no key for keys"),
        pytest.param({"DEBUG": "yes"}, "DEBUG must be off", id="debug in production"),
        pytest.param({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name", id="any host"),
        pytest.param({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS must name", id="no host"),
        pytest.param({"DATABASE_URL": ""}, "DATABASE_URL is not set", id="no database"),
        pytest.param({"DATABASE_URL": "what"}, "DATABASE_URL cannot be read", id="nonsense database"),
        pytest.param({"PRODUCTION": "maybe"}, "PRODUCTION must be yes or no", id="neither yes nor no"),
        pytest.param({"UPLOAD_MAX_MB": "big"}, "UPLOAD_MAX_MB must be a whole number", id="no number"),
        pytest.param({"UPLOAD_MAX_MB": "0"}, "UPLOAD_MAX_MB must be between", id="out of range"),
        pytest.param(
            {"CELERY_BROKER_URL": "amqp://x"}, "CELERY_BROKER_URL must start with", id="wrong broker"
        ),
    ],
)
def test_nonsense_is_refused_aloud(tmp_path, change, sentence):
    """T47: a portal that would run unsafely does not start, and says which variable is at fault."""
    done = settings_with(tmp_path, **{**PRODUCTION, **change})
    assert done.returncode != 0
    assert sentence in done.stderr.strip().splitlines()[-1]


def test_the_readme_lists_every_variable_and_no_other():
    """A silent typo in a variable's name is the commonest misconfiguration: the table is the reference."""
    read = (ROOT / "ftportal" / "settings.py").read_text()
    used = set(re.findall(r'(?:_flag|_number|_secret|env\.\w+)\(\s*"([A-Z_]+)"', read))
    used |= set(re.findall(r'environ(?:\.get\(|\[)\s*"([A-Z_]+)"', read)) | {"CELERY_BROKER_URL", "REDIS_URL"}
    table = "\n".join(
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")
    )
    said = set(re.findall(r"`([A-Z][A-Z_]+)`", table))
    assert used - SAID_BY_OTHERS - said == set(), "read by the settings, missing in the README"
    assert said - used - SAID_BY_OTHERS == set(), "in the README, read by nobody"


def test_lock_files_hold_hashes_and_no_address():
    """A lock file with an index's address works on one network only."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        text = lock.read_text()
        assert "://" not in text, lock.name
        assert "index-url" not in text, lock.name
        pins = re.findall(r"^([A-Za-z0-9._\[\]-]+)==", text, re.M)
        assert pins and text.count("--hash=sha256:") >= len(pins), lock.name


def test_production_passes_the_frameworks_own_checks(tmp_path):
    """T47: `check --deploy` has nothing to say about production settings, not even a warning."""
    clean = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "SYSTEMROOT")}
    ran = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**clean, "VAR_DIR": str(tmp_path), **PRODUCTION, "SECRET_KEY": "0123456789abcdef" * 4},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0 and "no issues" in ran.stdout, ran.stdout + ran.stderr


def test_compose_has_every_part_and_each_says_how_it_is():
    """Eight services; whoever runs for long has a health check, and whoever needs tables waits for them."""
    text = (ROOT / "docker-compose.yml").read_text()
    parts = dict(re.findall(r"^  ([a-z]+):\n((?:    .*\n)+)", text.split("\nservices:\n")[1], re.MULTILINE))
    assert set(parts) >= {"postgres", "redis", "migrate", "web", "gateway", "worker", "trainer", "beat"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in ("postgres", "redis", "gateway", "worker", "trainer", "beat"):
        assert "healthcheck:" in parts[name] and "disable" not in parts[name], name
    assert "HEALTHCHECK" in dockerfile  # web's own
    for name in ("web", "gateway", "worker", "trainer", "beat"):
        assert "migrate: {condition: service_completed_successfully}" in parts[name], name
    assert "DEBUG" not in text and "CACHE_URL: redis://" in text
