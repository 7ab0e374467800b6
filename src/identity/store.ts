import type { Database } from '../../db/connect.ts'
import { Refusal } from '../errors.ts'

/** Where identities are kept; queried only through the functions of db/. */
export type Store = Database['db']

/** Longer than this nobody waits for the identity database, in milliseconds. */
const PATIENCE = 5000

/**
 * The answer of the identity database, or a refusal (503) that says so when there is none. Refusals of the work itself
 * pass through.
 */
export async function reach<T> (work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`the database did not answer within ${PATIENCE} ms`)), PATIENCE).unref()
  })
  try {
    return await Promise.race([work(), late])
  } catch (error) {
    throw error instanceof Refusal ? error : unreachable(error)
  } finally {
    clearTimeout(timer)
  }
}

export function unreachable (cause: unknown): Refusal {
  return new Refusal('PORTCULLIS_OVERLOADED', {
    message: 'The identity database cannot be reached, so nobody can be authenticated. Try again shortly.',
    headers: { 'retry-after': '1' },
    data: { retryAfterMs: 1000 },
    cause,
  })
}
