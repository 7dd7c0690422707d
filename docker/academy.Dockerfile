# Every process of Academy. Two images are made from this one file, so that they cannot drift apart:
#   academy:…      REQUIREMENTS=requirements.txt      API, keeper, curation, CPU training, embedded runtime
#   academy-gpu:…  REQUIREMENTS=requirements-gpu.txt  training on NVIDIA GPUs (Unsloth, 4 bit)
#
# BASE_IMAGE is any Debian or Ubuntu with Python 3.11 or newer, or whose apt has one. The CUDA libraries
# come inside of PyTorch's wheels and the driver from the host, so a plain Python image serves GPUs too.
ARG BASE_IMAGE=python:3.11-slim


FROM ${BASE_IMAGE} AS build
ARG REQUIREMENTS=requirements.txt
# For an index of your own, or "--no-index" when docker/wheelhouse holds everything. It is recorded in
# the history of this stage, so a password does not belong here; put such an index behind a proxy.
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_FIND_LINKS=/wheelhouse
RUN python3 -c 'import ensurepip' 2>/dev/null || { \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/academy
COPY docker/wheelhouse/ /wheelhouse/
WORKDIR /src
# The packages come before the code, so that a change of the code does not install them again.
COPY ${REQUIREMENTS} ./
RUN /opt/academy/bin/pip install ${PIP_ARGS} -r "${REQUIREMENTS}"
COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY academy/ academy/
COPY workers/ workers/
COPY migrations/ migrations/
RUN /opt/academy/bin/pip install ${PIP_ARGS} --no-deps .


FROM ${BASE_IMAGE}
# git is what curation reads histories with; the GPU image adds gcc, with which Triton compiles.
ARG SYSTEM_PACKAGES="git"
RUN command -v python3 >/dev/null || SYSTEM_PACKAGES="${SYSTEM_PACKAGES} python3"; \
    apt-get update && apt-get install -y --no-install-recommends ca-certificates ${SYSTEM_PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 academy \
    && useradd --uid 10001 --gid academy --no-create-home --home-dir /var/lib/academy \
        --shell /usr/sbin/nologin academy \
    # A named volume takes owner and mode from the folder that it is first mounted over.
    && install -d -o academy -g academy -m 0750 /var/lib/academy /srv/artifacts \
    && install -d -o academy -g academy -m 0755 /srv/models /srv/repositories
COPY --from=build /opt/academy /opt/academy
COPY celeryconfig.py /app/
# PYTHONPATH lets Celery find its settings. Nothing is fetched from a model hub at run time.
ENV PATH=/opt/academy/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    HF_HUB_OFFLINE=1 \
    ACADEMY_HOME=/var/lib/academy \
    ACADEMY_ARTIFACTS=/srv/artifacts \
    ACADEMY_MODELS=/srv/models \
    ACADEMY_REPO_ROOTS=/srv/repositories
WORKDIR /app
USER academy
ENTRYPOINT ["academy"]
CMD ["--help"]
