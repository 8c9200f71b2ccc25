# The build stage installs the program; the final image has no compiler, no pip cache and no root user.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY hashserver hashserver
COPY core core
RUN python -m venv /opt/hashserver && /opt/hashserver/bin/pip install --no-cache-dir .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin hashserver \
    && install -d -m 0700 -o hashserver -g hashserver /data
COPY --from=build /opt/hashserver /opt/hashserver
ENV PATH=/opt/hashserver/bin:$PATH HASHSERVER_DATA_DIR=/data PYTHONUNBUFFERED=1
USER hashserver
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
# Add a party first, which makes the data folder: docker run --rm -v hashes:/data IMAGE party add "Example Hosting".
# Then run it with -e HASHSERVER_HOST=0.0.0.0 -p 8080:8080 -v hashes:/data.
ENTRYPOINT ["hashserver"]
CMD ["serve"]
