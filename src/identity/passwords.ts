import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'

import argon2 from 'argon2'

import { openHashQueue } from './hash-queue.ts'
import type { HashQueueOptions } from './hash-queue.ts'
import { readPassword } from './password-rules.ts'

/** argon2id, 19 MiB, two passes, one lane: OWASP's first choice; about 30 ms on a small core. */
const PARAMETERS = { type: argon2.argon2id, memoryCost: 19456, timeCost: 2, parallelism: 1, hashLength: 32 } as const

/**
 * One processor is left to the calls: with both of two hashing, a storm of logins makes calls several times slower. Where there
 * are no more than two, hashing rests between turns too, since calls share both with the database and the servers.
 */
const QUEUE: HashQueueOptions = { running: Math.max(1, Math.min(2, availableParallelism() - 1)), waiting: 50, patience: 2000, rest: availableParallelism() <= 2 ? 80 : 0 }

/** Hashes and verifies passwords, never more than a few at once. */
export interface Passwords {
  /** Runs the work when it may hash; refuses with 503 before any hashing when too many want to. */
  turn<T> (work: () => Promise<T>): Promise<T>
  /** Inside a turn. The PHC string of a password that follows the rules; refuses (400) one that doesn't. */
  hash (password: string, username: string): Promise<string>
  /** Inside a turn. Always takes one verification's time: without a hash a dummy is verified, and the answer is false. */
  verify (hash: string | null, password: string): Promise<boolean>
  /** Inside a turn. The same password under today's parameters, or null when its hash has them already. */
  renew (hash: string, password: string): Promise<string | null>
  readonly status: PasswordStatus
}

export interface PasswordStatus {
  /** Verifications and hashes since the start. */
  readonly hashes: number
  /** Seconds spent in them. */
  readonly seconds: number
  readonly running: number
  readonly waiting: number
  readonly refused: number
}

export async function openPasswords (queue: Partial<HashQueueOptions> = {}): Promise<Passwords> {
  const gate = openHashQueue({ ...QUEUE, ...queue })
  const dummy = await argon2.hash(randomBytes(32), PARAMETERS)
  let hashes = 0
  let seconds = 0

  async function measured<T> (work: () => Promise<T>): Promise<T> {
    const started = performance.now()
    hashes += 1
    try { return await work() } finally { seconds += (performance.now() - started) / 1000 }
  }

  return {
    turn: async (work) => await gate.turn(work),
    async hash (password, username) {
      const text = await readPassword(password, username)
      return await measured(async () => await argon2.hash(text, PARAMETERS))
    },
    async verify (hash, password) {
      const text = password.normalize('NFKC')
      return await measured(async () => await argon2.verify(hash ?? dummy, text.slice(0, 512))) && hash !== null && text.length <= 512
    },
    async renew (hash, password) {
      if (!argon2.needsRehash(hash, PARAMETERS)) return null
      return await measured(async () => await argon2.hash(password.normalize('NFKC'), PARAMETERS))
    },
    get status () { return { hashes, seconds, running: gate.running, waiting: gate.waiting, refused: gate.refused } },
  }
}
