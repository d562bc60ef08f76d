// jsforce's suites were written for Jest; of Jest they use only the globals, which Vitest has as well.
export default {
  test: { globals: true, include: ["test/*.test.ts"], fileParallelism: false, testTimeout: 60_000 },
};
