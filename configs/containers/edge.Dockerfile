# The vehicle: a Jetson with JetPack 6 (L4T r36, Ubuntu 22.04, Python 3.10).  The core of dicem and nothing heavy.
#
#   docker build --platform linux/arm64 -f configs/containers/edge.Dockerfile -t dicem-edge:0.1.0 .
#   docker run --read-only --tmpfs /tmp --volume dicem:/data --volume ./boat.yaml:/etc/dicem/edge.yaml:ro \
#       dicem-edge:0.1.0 --config /etc/dicem/edge.yaml --source ...
#
# onnxruntime is PyPI's, for the CPU.  /data keeps answers and deployed programs: a volume that survives a power cut.

FROM nvcr.io/nvidia/l4t-base:r36.2.0 AS build
# A version would not be there for long: Ubuntu keeps the newest only.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY shared shared
COPY codegen codegen
COPY edge edge
COPY cloud cloud
COPY simulators simulators
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --constraint constraints.txt .

FROM nvcr.io/nvidia/l4t-base:r36.2.0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 dicem \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin dicem \
    && install --directory --owner=dicem --group=dicem /data
COPY --from=build /opt/venv /opt/venv
COPY LICENSE NOTICE /opt/dicem/
COPY configs /opt/dicem/configs
COPY models/yolov8 /opt/dicem/models/yolov8
ENV PATH=/opt/venv/bin:$PATH DICEM_HOME=/opt/dicem HOME=/tmp PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
VOLUME /data
USER 10001:10001
ENTRYPOINT ["dicem", "edge"]
CMD ["--help"]
