import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

import { licences } from './build/licences.ts';
import { precompress } from './build/precompress.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const notices = 'THIRD_PARTY_LICENSES.txt';

const { page, worker } = licences({
  fileName: `playground/${notices}`,
  extra: here('build/licences'),
  standard: here('build/licences/standard'),
});

// The server to speak to while developing.
const server = process.env.COEXIST_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative, so that a proxy may serve the pages under a path of its own. A page stands beside
  // the folder "playground", hence its assets are found from /playground, without a slash.
  base: './',
  plugins: [page, precompress({ plain: [notices] })],
  worker: { format: 'es', plugins: () => [worker()] },
  build: {
    assetsDir: 'playground/assets',
    target: 'es2022',
    // The editor is one large chunk and needed at once.
    chunkSizeWarningLimit: 6000,
    rolldownOptions: {
      input: { playground: here('playground.html') },
      // "use client" and its like mean nothing to a page without server components.
      onLog: (level, log, handle) => {
        if (log.code !== 'MODULE_LEVEL_DIRECTIVE') handle(level, log);
      },
    },
  },
  server: { proxy: { '/graphql': { target: server, ws: true } } },
});
