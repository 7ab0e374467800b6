import { randomBytes } from 'node:crypto'

import { Refusal } from '../errors.ts'
import { guess } from './password-guess.ts'

const SHORTEST = 12
const LONGEST = 128

/** The password as it is hashed (NFKC), or a refusal (400) that says which rule it breaks; the password itself is in no message. */
export async function readPassword (password: string, username: string): Promise<string> {
  const text = password.normalize('NFKC')
  const fault = await faultOf(text, username)
  if (fault !== undefined) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `The new password ${fault}.` })
  return text
}

/** 100 random bits in five groups that can be read aloud: no letters that look like digits. */
export function generatePassword (): string {
  const letters = [...randomBytes(20)].map((byte) => ALPHABET[byte & 31])
  return letters.join('').replace(/.{4}(?=.)/g, '$&-')
}

/** Crockford's 32 signs. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'

async function faultOf (text: string, username: string): Promise<string | undefined> {
  const length = [...text].length
  if (length < SHORTEST) return `is too short: it needs at least ${SHORTEST} characters`
  if (length > LONGEST) return `is too long: at most ${LONGEST} characters`
  const guessed = await guess(text, username)
  return guessed === undefined ? undefined : `is too easy to guess (${guessed}): use something else, for example four random words`
}
