# An image with humwatch, its workflow and every package of requirements.txt. Not built by CI yet. Use: docs/workflow.md.
FROM python:3.12-slim

WORKDIR /opt/humwatch
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY pyproject.toml README.md LICENSE Snakefile ./
COPY src src
COPY workflow workflow
COPY profiles profiles
COPY config config
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e .

# Any user may run it; caches of libraries go where all can write.
RUN useradd --create-home humwatch && mkdir /study && chown humwatch /study
ENV HOME=/tmp \
    USER=humwatch \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba
USER humwatch
WORKDIR /study
CMD ["snakemake", "--snakefile", "/opt/humwatch/workflow/Snakefile", "--cores", "all", "--configfile", "/opt/humwatch/config/config.yaml"]
