# One image for the daemons, the API server and the steps' programs; which one runs is the command:
#   lando serve | python -m lando.k8s.lando FILE | python -m lando.k8s.watcher FILE | python -m lando.steps.<step> …
ARG PYTHON=3.12-slim

FROM docker.io/library/python:${PYTHON} AS build
WORKDIR /src
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY lando lando
RUN python -m venv /opt/lando && \
    /opt/lando/bin/pip install --no-cache-dir -c constraints.txt '.[cwl,postgres]'

FROM docker.io/library/python:${PYTHON}
COPY --from=build /opt/lando /opt/lando
ENV PATH=/opt/lando/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Any uid works (OpenShift assigns one); the root file system may be read-only as long as /tmp is writable.
USER 1000:1000
WORKDIR /tmp
CMD ["lando", "--help"]
