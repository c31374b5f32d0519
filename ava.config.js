// `npm test` runs all but what takes minutes; that is `npm run test:long`.
const long = process.env.GANTRY_TEST_LONG === "1";

export default {
  files: long ? ["dist/test/long/*.test.js"] : ["dist/test/**/*.test.js", "!dist/test/long/**"],
  workerThreads: false,
  concurrency: 2,
  timeout: long ? "20m" : "3m",
};
