/** `done` of a waiter; with an error nothing that depends on the record may happen. */
export type Done = (error?: Error) => void

/** Takes records in order and says when they are safe: in files (`Spool`), or in the database itself (`GroupCommit`). */
export interface Journal {
  /** Why records cannot be written at the moment. */
  readonly error: Error | undefined
  /** Number of records that were appended, whether they are written yet or not. */
  readonly appended: number
  /** What `line` gives is written with the next group, when it is put together: it is called once, and does not throw. It holds no line break. */
  append (line: () => string): void
  /** `done` runs when everything appended so far survives a crash of this process. */
  written (done: Done): void
  /** `done` runs when everything appended so far is as durable as it gets. */
  durable (done: Done): void
  /** Shows that the owner lives. */
  touch (): void
  /** Writes what is left; rejects when that is not possible. Idempotent. */
  close (): Promise<void>
}

/** One waiter that throws must not keep the others from running. */
export function runAll (waiters: readonly Done[], error?: Error): void {
  for (const done of waiters) {
    try {
      done(error)
    } catch (thrown) {
      process.nextTick(() => { throw thrown })
    }
  }
}
