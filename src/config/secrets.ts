import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a secret may be called: one plain file name, so that no path can be spelled with it. */
export const secretName = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/

/** User names that are safe in a path and in an argument: they begin with a letter, digit or _ and hold no separator. */
export const userName = /^[\p{L}\p{N}_][\p{L}\p{N}_.@+-]{0,127}$/u

const machineWide = '/run/secrets'

/** Reads one secret: the user's own, else the gateway's, else the machine's. undefined when there is none. */
export type Secrets = (name: string, user?: string) => string | undefined

/**
 * Secrets are files: `<data>/secrets/users/<user>/NAME`, `<data>/secrets/NAME`, `/run/secrets/NAME`. Each is read when it
 * is asked for, so a changed file counts at once. Throws when a file is there but cannot be read: falling through to
 * the next place would hand out somebody else's credential.
 */
export function openSecrets (data: string): Secrets {
  return (name, user) => {
    if (!secretName.test(name)) return undefined
    for (const file of places(data, name, user)) {
      const value = readSecret(file)
      if (value !== undefined) return value
    }
    return undefined
  }
}

/** Where a secret is looked for, in order. */
export function places (data: string, name: string, user?: string): string[] {
  const shared = [join(data, 'secrets', name), join(machineWide, name)]
  return user !== undefined && userName.test(user) ? [join(data, 'secrets', 'users', user, name), ...shared] : shared
}

function readSecret (file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    throw new Error(`the secret file ${file} cannot be read (${code ?? 'unknown error'})`, { cause: error })
  }
}
