# The pipeline on CPUs: negmine parse, retrieve, shard.
#   docker build -f docker/pipeline.Dockerfile -t negmine-pipeline .
#   docker run --rm -v "$PWD:/data" -w /data negmine-pipeline negmine parse captions.json --images photos/
FROM python:3.11-slim

RUN useradd --create-home negmine
COPY --chown=negmine . /src
RUN /src/docker/install.sh /opt/negmine cpu,offline && rm -rf /root/.cache
ENV PATH=/opt/negmine/bin:$PATH
USER negmine
WORKDIR /home/negmine
CMD ["negmine", "--help"]
