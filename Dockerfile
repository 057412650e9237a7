# One image for web, worker and beat; it runs as a user without rights and writes only to /data.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements ./requirements
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VAR_DIR=/data
RUN useradd --system --uid 10001 --home-dir /data portal && mkdir /data && chown portal /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
# Static files belong to the image, not to a container's data.
RUN VAR_DIR=/app/.static python manage.py collectstatic --noinput -v0 && chmod -R a+rX /app && rm -rf /app/.static/secrets
ENV STATIC_ROOT=/app/.static/static
USER portal
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["uvicorn", "ftportal.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--timeout-graceful-shutdown", "10", "--no-access-log"]
