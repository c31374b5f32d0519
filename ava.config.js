// `npm test` runs all but what takes minutes (`npm run test:long`); what needs the test guest is a step of its own, two
// guests at a time, and `npm run test:vm` runs its long form too.
const kinds = {
  ordinary: { files: ["dist/test/**/*.test.js", "!dist/test/long/**", "!dist/test/vm/**"], concurrency: 2, timeout: "3m" },
  long: { files: ["dist/test/long/*.test.js"], concurrency: 2, timeout: "20m" },
  vm: { files: ["dist/test/vm/*.test.js"], concurrency: 2, timeout: "5m" },
  "vm-long": { files: ["dist/test/vm/**/*.test.js"], concurrency: 2, timeout: "20m" },
};
const kind = process.env.GANTRY_TEST_LONG === "1" ? "long" : (process.env.GANTRY_TEST_KIND ?? "ordinary");

export default { workerThreads: false, ...kinds[kind] };
