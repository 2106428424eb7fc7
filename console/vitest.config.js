// Tests of what is pure: no plugin of the build takes part, so they run from anywhere.
export default { test: { include: ['src/**/*.test.ts'] } };
