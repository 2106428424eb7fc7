// How the console is built. The result, console/dist, is embedded in the binary; nothing of Node runs with it.
import { defineConfig, loadEnv } from 'vite';

// A server for `npm run dev`; what it prints at its start has its address.
const server = loadEnv('', '.', 'DORMOUSE_').DORMOUSE_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: '/console/',
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
    rollupOptions: { output: { entryFileNames: 'assets/[name]-[hash].js', chunkFileNames: 'assets/[name]-[hash].js', assetFileNames: 'assets/[name]-[hash][extname]' } },
  },
  server: {
    proxy: {
      '/api': { target: server, changeOrigin: true },
      '/console/session': { target: server, changeOrigin: true },
    },
  },
});
