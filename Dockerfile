# The demo in a container, and the program for other work:
#
#   docker build -t nmt . && docker run --rm nmt
#   docker run --rm -it -v "$PWD:/work" -w /work nmt nmt --help
FROM rust:1-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /nmt
COPY . .
RUN make build && make install FOLDER=/opt/nmt && ln -s /opt/nmt/nmt /usr/local/bin/nmt
CMD ["scripts/demo.sh"]
