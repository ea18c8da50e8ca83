# The service with the model in models/export. First run dvc repro export or dvc pull models/export, then:
# docker build --tag review-stars . && docker run --rm --read-only --tmpfs /tmp --publish 127.0.0.1:8000:8000 review-stars
FROM python:3.11-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements-serve.txt constraints.txt ./
RUN pip install --no-cache-dir --requirement requirements-serve.txt
COPY commands/__init__.py commands/serve.py commands/
COPY src src
COPY models/export models/export
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# 0.0.0.0 is every address of the container; docker run --publish decides who can reach it.
CMD ["python", "-m", "commands.serve", "--host", "0.0.0.0"]
