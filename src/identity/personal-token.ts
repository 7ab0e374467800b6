import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** Secret scanners find this; the rest of a token is 43 random signs, an underscore, and a checksum of 6. */
const PREFIX = 'portcullis_pat_'
const LENGTH = PREFIX.length + 43 + 1 + 6
const SHAPE = /^portcullis_pat_[\w-]{43}_[0-9a-z]{6}$/

/** Whether this is meant to be a personal access token. */
export function isPersonalToken (token: string): boolean {
  return token.startsWith(PREFIX)
}

/** A new token, and what may be kept of it: its hash, and the beginning that its owner recognises it by. */
export function mintPersonalToken (): { token: string, hash: Buffer, prefix: string } {
  const body = PREFIX + randomBytes(32).toString('base64url')
  const token = `${body}_${checksum(body)}`
  return { token, hash: hashToken(token), prefix: body.slice(0, PREFIX.length + 6) }
}

/** sha256 of a token that is whole, or undefined for one that was cut, mistyped or invented: those cost no query. */
export function readPersonalToken (token: string): Buffer | undefined {
  if (token.length !== LENGTH || !SHAPE.test(token)) return undefined
  return token.slice(-6) === checksum(token.slice(0, -7)) ? hashToken(token) : undefined
}

/** sha256, for secrets of 256 random bits: those need no slow hash. */
export function hashToken (token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** crc32 in six signs of base 36 (the remainder, since the whole needs seven). */
function checksum (text: string): string {
  return (crc32(text) % 36 ** 6).toString(36).padStart(6, '0')
}
