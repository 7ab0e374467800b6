import closeWithGrace from 'close-with-grace'
import { openGateway } from './app.ts'
import type { Gateway } from './app.ts'
import type { Config } from './config/config.ts'
import { createLogger } from './log.ts'
import type { Log } from './log.ts'
import { welcome } from './welcome.ts'

/** Calls in flight at a shutdown get this long, in milliseconds; then everything is closed. */
const drainMs = 10_000
const hardStopMs = 25_000

/** Runs a gateway until a signal ends it. Prints what a person needs on `out`, logs to stdout as JSON lines. */
export async function serve (config: Config, out: (text: string) => void): Promise<void> {
  const log = createLogger({ level: config.logLevel })
  const opening = openGateway(config, log)
  const closing = closeOnSignal(opening, log)
  opening.catch(() => closing.uninstall()) // else the end of a process that never served would look like any other, with exit code 0
  const gateway = await opening
  out(welcome(gateway, config))
  for (const problem of gateway.sandboxProblems) log.error({ problem }, 'upstreams are refused: there is no sandbox on this machine')
}

/** Also while it is still starting: what was opened by then is closed properly. */
function closeOnSignal (opening: Promise<Gateway>, log: Log): ReturnType<typeof closeWithGrace> {
  return closeWithGrace({ delay: hardStopMs, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) log.fatal({ err }, 'an error nobody handled: closing')
    else log.info({ signal }, 'closing')
    const gateway = await opening.catch(() => undefined)
    await gateway?.close(drainMs)
    log.info('closed')
  })
}
