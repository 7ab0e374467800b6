import type { Duplex } from 'node:stream'

/**
 * bwrap ties the life of a cell to the gateway's (--die-with-parent) when the cell is nearly built. A gateway that is
 * killed before that would leave behind what was under way, and nobody to end it. So the command of a cell waits: it says
 * that the cell is built, and begins when a gateway that lives answers. Without an answer it ends, and the cell with it.
 * @param descriptor on which both talk; of one digit, since sh redirects no other
 */
export function leashed (argv: readonly string[], descriptor: number): string[] {
  return ['/bin/sh', '-c', `printf . >&${descriptor}; read -r go <&${descriptor}; [ "$go" = go ] || exit 1; exec "$@" ${descriptor}>&-`, 'sh', ...argv]
}

/** The gateway's end: answers when the cell is built. A cell that dies before that is reported by its exit, not here. */
export function holdLeash (stream: Duplex): void {
  stream.on('error', () => {})
  stream.once('data', () => { stream.end('go\n') })
}
