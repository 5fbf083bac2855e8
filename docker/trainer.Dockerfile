# The trainer on GPUs. PyTorch's Linux wheels bring their own CUDA libraries; the host needs a driver and the
# NVIDIA container toolkit.
#   docker build -f docker/trainer.Dockerfile -t negmine-trainer .
#   docker run --rm --gpus all --shm-size 8g -v "$PWD:/data" -w /data negmine-trainer ahnpl-train --shards 'data/*.tar'
FROM python:3.11-slim

RUN useradd --create-home negmine
COPY --chown=negmine . /src
RUN /src/docker/install.sh /opt/negmine gpu,track && rm -rf /root/.cache
ENV PATH=/opt/negmine/bin:$PATH
USER negmine
WORKDIR /home/negmine
CMD ["ahnpl-train", "--help"]
