/**
 * Preloaded by `npm test` where Node does not read TypeScript itself (before 22): tsx reads it, and tap's own reader,
 * which takes three times the processor time, is told that nothing is left for it.
 */
const isRunner = /[\\/]tap(\.[a-z]+)?$/.test(process.argv[1] ?? '')
if (!isRunner) {
  process.env.TAP_TYPE_STRIP_ONLY = '1'
  await import('tsx')
}
