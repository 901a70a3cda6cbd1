// Threads need shared memory, and that needs these headers, from every server.
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default {
  base: './',
  server: { headers },
  preview: { headers },
  worker: { format: 'es' },
};
