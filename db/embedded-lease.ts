import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'

/**
 * The lease is a named pipe that the server's watchdog reads and each process that uses the server holds open for
 * writing. The kernel closes it when a process ends, however it ends, so the watchdog sees the end of the pipe
 * exactly when the last user is gone, and a newcomer that cannot open it knows that nothing is running.
 */
export interface Lease {
  /** False once the watchdog has stopped reading: the server is stopping, or gone. */
  held (): boolean
  release (): void
}

/** Joins the users of a running server; undefined when none runs. */
export function takeLease (path: string): Lease | undefined {
  const descriptor = openForWriting(path)
  if (descriptor === undefined) return undefined
  let open = true
  return {
    held: () => open && canWrite(descriptor),
    release () {
      if (open) closeSync(descriptor)
      open = false
    },
  }
}

/** Does any process hold the lease? A look as a reader: nothing to read means users, the end means none. */
export function isHeld (path: string): boolean {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const signs = Buffer.alloc(512)
  try {
    while (readSync(descriptor, signs) > 0);
    return false
  } catch (error) {
    if (isCode(error, 'EAGAIN')) return true
    throw error
  } finally {
    closeSync(descriptor)
  }
}

/** Without O_NONBLOCK the open would wait for a reader; with it a pipe nobody reads is ENXIO (POSIX open). */
function openForWriting (path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (isCode(error, 'ENXIO') || isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function canWrite (descriptor: number): boolean {
  try {
    writeSync(descriptor, '\n')
    return true
  } catch (error) {
    return isCode(error, 'EAGAIN')
  }
}

function isCode (error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
