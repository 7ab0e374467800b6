/**
 * Preloaded by `npm test` where Node does not read TypeScript itself (before 22): what follows in the process may import
 * the sources, and tap's own reader, which takes three times the processor time, is told that nothing is left for it.
 */
import { register } from 'node:module'

const isRunner = /[\\/]tap(\.[a-z]+)?$/.test(process.argv[1] ?? '')
if (!isRunner) {
  process.env.TAP_TYPE_STRIP_ONLY = '1'
  register('./strip-types.mjs', import.meta.url)
}
