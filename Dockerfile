# syntax=docker/dockerfile:1

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/setup.mjs scripts/
COPY src src
COPY plugins plugins
COPY db db
RUN node --input-type=module --eval "import { build } from './scripts/setup.mjs'; build()" \
 && npm prune --omit=dev

FROM node:24-bookworm-slim
# bubblewrap, socat and util-linux (prlimit, choom) are what the sandbox of the tool servers is made of; tini is process 1
# and collects what they leave behind.
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap socat util-linux tini \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o 1000 -g 1000 -m 0700 /data
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json upstreams.yaml ./
COPY docs/errors.md docs/errors.md
COPY ui ui

# Listening on every address is right only inside a container: what is published, and where, the operator decides.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    METRICS_HOST=0.0.0.0 \
    METRICS_PORT=9464 \
    PORTCULLIS_CONFIG=/app/upstreams.yaml \
    PORTCULLIS_DATA=/data
USER 1000:1000
VOLUME /data
EXPOSE 8080 9464
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["tini", "--"]
CMD ["node", "--min-semi-space-size=32", "--max-semi-space-size=64", "--use-largepages=silent", "--no-memory-reducer", "--single-threaded-gc", "dist/src/cli.js", "serve"]
