import type { Pool } from 'pg'

/** Whether the database answers, looked at every two seconds. */
export interface DatabaseWatch {
  readonly up: boolean
  close (): Promise<void>
}

const everyMs = 2_000

/** Watches through a connection of the pool, so that an exhausted pool counts as a database that is away. */
export function watchDatabase (pool: Pool): DatabaseWatch {
  let up = true
  const look = (): Promise<void> => pool.query('select 1').then(() => { up = true }, () => { up = false })
  let looking: Promise<void> | undefined
  const timer = setInterval(() => {
    if (looking === undefined) looking = look().finally(() => { looking = undefined })
  }, everyMs)
  timer.unref()
  return {
    get up () { return up },
    async close () {
      clearInterval(timer)
      await looking
    },
  }
}
