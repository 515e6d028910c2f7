# One image per role: docker build --target operator|webhook|ledger|sidecar .
#
# BASE_IMAGE is any Debian with Python 3.11 and its venv module. Where the build context has a folder wheels/, all packages
# come from it and nothing is fetched; else they come from the configured index. Hashes are checked either way.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS pip
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/lineward
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# Each role's packages, laid out below a root of its own.
FROM pip AS packages
WORKDIR /src
COPY requirements requirements
COPY requirements wheels*/packages wheels/
RUN set -eu; offline=$(ls wheels/*.whl >/dev/null 2>&1 && echo --no-index --find-links wheels || true); \
    for role in operator webhook ledger sidecar; do \
        mkdir -p /roles/$role/opt; cp -a /opt/lineward /roles/$role/opt/; \
        /opt/pip/bin/pip --python /opt/lineward/bin/python install --quiet --root /roles/$role $offline \
            --require-hashes --no-deps --requirement requirements/$role.txt; \
    done

# The project itself, alike for all roles.
FROM pip AS project
WORKDIR /src
COPY . .
RUN set -eu; \
    if [ ! -d wheels/project ]; then \
        apt-get update; apt-get install --yes --no-install-recommends gcc libc6-dev; \
        /opt/pip/bin/pip install --require-hashes --no-deps --requirement requirements/build.txt; \
        LINEWARD_NATIVE=require /opt/pip/bin/pip wheel --no-deps --no-build-isolation --wheel-dir wheels/project .; \
    fi; \
    /opt/pip/bin/pip --python /opt/lineward/bin/python install --quiet --no-deps --no-index --root /app wheels/project/lineward-*.whl

# Nothing is written at run time, so that the root file system can be read-only; no file belongs to the user. It is listed
# in passwd because containerd would give an unlisted one root's group.
FROM ${BASE_IMAGE} AS runtime
RUN echo 'lineward:x:65532:65532:lineward:/nonexistent:/usr/sbin/nologin' >> /etc/passwd && echo 'lineward:x:65532:' >> /etc/group
ENV PATH=/opt/lineward/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 65532:65532

FROM runtime AS operator
COPY --from=packages /roles/operator/opt/lineward /opt/lineward
COPY --from=project /app/opt/lineward /opt/lineward
ENTRYPOINT ["/opt/lineward/bin/lineward-operator"]

FROM runtime AS webhook
COPY --from=packages /roles/webhook/opt/lineward /opt/lineward
COPY --from=project /app/opt/lineward /opt/lineward
ENTRYPOINT ["/opt/lineward/bin/lineward-webhook"]

FROM runtime AS ledger
COPY --from=packages /roles/ledger/opt/lineward /opt/lineward
COPY --from=project /app/opt/lineward /opt/lineward
ENTRYPOINT ["/opt/lineward/bin/lineward-ledger"]

FROM runtime AS sidecar
COPY --from=packages /roles/sidecar/opt/lineward /opt/lineward
COPY --from=project /app/opt/lineward /opt/lineward
ENTRYPOINT ["/opt/lineward/bin/lineward-sidecar"]
