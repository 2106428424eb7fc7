// How the console is built. The result, console/dist, is embedded in the binary; nothing of Node runs with it.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { defineConfig } from 'vite';

// A server for `npm run dev`; what it prints at its start has its address.
const server = process.env.DORMOUSE_URL ?? 'http://127.0.0.1:5480';

/** Compresses every file once, as small as it gets; the binary takes `.gz` and `.br`, not the originals. */
const compress = {
  name: 'compress',
  apply: 'build',
  closeBundle() {
    for (const name of readdirSync('dist', { recursive: true })) {
      const path = join('dist', name);
      if (!statSync(path).isFile()) continue;
      const content = readFileSync(path);
      writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }));
    }
  },
};

const errorPages = readdirSync('../docs/errors').filter((name) => name !== 'README.md').map((name) => name.replace(/\.md$/, ''));

export default defineConfig({
  define: { __ERROR_PAGES__: JSON.stringify(errorPages) },
  base: '/console/',
  plugins: [compress],
  esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
  build: {
    target: 'es2022',
    outDir: 'dist',
    emptyOutDir: true,
    sourcemap: false,
    // Everything is a file with a hash in its name: the Content-Security-Policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      output: {
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: {
    proxy: {
      '/api': { target: server, changeOrigin: true },
      '/console/session': { target: server, changeOrigin: true },
      '/console/errors': { target: server, changeOrigin: true },
      '/v1': { target: server, changeOrigin: true },
      '/healthz': { target: server, changeOrigin: true },
    },
  },
});
