import type { Duplex } from 'node:stream'

/**
 * What ties the life of a cell to the gateway's (bwrap --die-with-parent, setpriv --pdeathsig) does so when the cell is
 * nearly built. A gateway that is killed before that would leave behind what was under way, and nobody to end it. So the
 * command of a cell waits: it says that the cell is built, and begins when a gateway that lives answers. Without an answer
 * it ends, and the cell with it.
 * @param descriptor on which both talk; of one digit, since sh redirects no other
 */
export function leashed (argv: readonly string[], descriptor: number): string[] {
  return ['/bin/sh', '-c', `${answered(descriptor)} || exit 1; exec "$@" ${descriptor}>&-`, 'sh', ...argv]
}

/** For a shell that has more to do: a command that asks, and fails when no gateway answers. */
export function answered (descriptor: number): string {
  return `printf . >&${descriptor} && ${listens}${descriptor} && [ "$go" = go ]`
}

const listens = 'read -r go <&'

/** Whether this is the command line of a cell that has not begun, or of what builds and holds one. */
export function isLeashed (commandLine: string): boolean {
  return commandLine.includes(listens)
}

/** The gateway's end: answers as often as it is asked. A cell that dies before that is reported by its exit, not here. */
export function holdLeash (stream: Duplex): void {
  stream.on('error', () => {})
  stream.on('data', () => { stream.write('go\n') })
}
