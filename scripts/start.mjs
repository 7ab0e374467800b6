/**
 * `npm start`: makes ready what is missing, then becomes the gateway. The program runs in this very process, so signals,
 * the exit code and a kill reach it without a middleman.
 */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { root, setup } from './setup.mjs'

setup()
ignoreEchoOfInterrupt()
const program = join(root, 'dist/src/cli.js')
process.argv = [process.execPath, program, 'serve', ...process.argv.slice(2)]
await import(pathToFileURL(program).href)

/**
 * Ctrl-C reaches this process twice: from the terminal, which signals the whole group, and from npm, which passes it on.
 * The second one means "stop at once" only when a person sent it.
 */
function ignoreEchoOfInterrupt () {
  const emit = process.emit
  let last = -Infinity
  process.emit = function (event, ...args) {
    if (event === 'SIGINT') {
      const now = performance.now()
      if (now - last < 200) return true
      last = now
    }
    return emit.call(this, event, ...args)
  }
}
