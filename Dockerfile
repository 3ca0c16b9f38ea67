# The service in a small image: built with the compiler, run without it, as a user without rights.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src src
COPY connectors connectors
COPY jobs jobs
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim
# Reachable from outside the container: it starts only with UNSTALL_OPERATOR, UNSTALL_VIEWER or web.proxy (docs/access.md).
ENV NODE_ENV=production UNSTALL_HOST=0.0.0.0 UNSTALL_PORT=4000
WORKDIR /app
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY package.json unstall.config.example.yaml LICENSE ./
RUN mkdir .unstall && chown node:node .unstall
USER node
VOLUME /app/.unstall
EXPOSE 4000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.UNSTALL_PORT}/healthz`).then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))"]
# A small young generation and one heap for all threads: a third less memory, no slower (docs/performance.md).
ENV MALLOC_ARENA_MAX=1
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/src/cli/bin.js"]
CMD ["start"]
