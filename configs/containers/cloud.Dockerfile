# The cloud: gateway, functions, Ray's nodes.
#
#   docker build -f configs/containers/cloud.Dockerfile -t dicem-cloud:0.1.0 .
#   docker build -f configs/containers/cloud.Dockerfile -t dicem-cloud:0.1.0-gpu \
#       --build-arg EXTRAS=cloud,transformers,cluster .
#
# Runs as nobody in particular, and writes to /tmp and /data only.

FROM python:3.11.13-slim-bookworm AS build
ARG EXTRAS=cloud
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY shared shared
COPY codegen codegen
COPY edge edge
COPY cloud cloud
COPY simulators simulators
RUN pip install --prefix=/install --constraint constraints.txt ".[${EXTRAS}]"

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10001 dicem \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin dicem \
    && install --directory --owner=dicem --group=dicem /data
COPY --from=build /install /usr/local
COPY LICENSE NOTICE /opt/dicem/
COPY configs /opt/dicem/configs
COPY models /opt/dicem/models
ENV DICEM_HOME=/opt/dicem HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
VOLUME /data
USER 10001:10001
EXPOSE 8080
# For `docker run`; Kubernetes has probes of its own.
HEALTHCHECK --interval=15s --timeout=5s --start-period=5m --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["dicem"]
CMD ["--help"]
