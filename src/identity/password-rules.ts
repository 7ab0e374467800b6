import { randomBytes } from 'node:crypto'

import { Refusal } from '../errors.ts'

const SHORTEST = 12
const LONGEST = 128

/** The password as it is hashed (NFKC), or a refusal (400) that says which rule it breaks; the password itself is in no message. */
export function readPassword (password: string, username: string): string {
  const text = password.normalize('NFKC')
  const fault = faultOf(text, username)
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

function faultOf (text: string, username: string): string | undefined {
  const length = [...text].length
  if (length < SHORTEST) return `is too short: it needs at least ${SHORTEST} characters`
  if (length > LONGEST) return `is too long: at most ${LONGEST} characters`
  if (new Set(text).size < 5) return 'repeats a few characters: use at least 5 different ones'
  if (isCommon(text, username)) return 'is too easy to guess (a common word, a keyboard row, a count, or the user name): use something else, for example four random words'
  return undefined
}

/** A password is common when little is left of it without common words, rows and the user name. */
function isCommon (text: string, username: string): boolean {
  const lower = text.toLowerCase()
  const own = username.toLowerCase()
  return [lower, plainLetters(lower)].some((form) => without(form, own.length >= 3 ? [...FRAGMENTS, own] : FRAGMENTS).length < 4)
}

/** `P4ssw0rd` → `password`. */
function plainLetters (text: string): string {
  return text.replace(/[013457@$!]/g, (sign) => LOOKALIKES[sign] ?? sign).replace(/[^a-z]/g, '')
}

const LOOKALIKES: Readonly<Record<string, string>> = { 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i' }

function without (text: string, fragments: readonly string[]): string {
  let rest = text
  for (const fragment of fragments) rest = rest.replaceAll(fragment, '')
  return rest.replace(/[\d\s._!?*#-]/g, '')
}

/** What most leaked passwords of twelve and more characters are made of; longer fragments first. */
const FRAGMENTS = [
  'correcthorsebatterystaple', 'administrator', 'qwertyuiop', 'portcullis', 'motdepasse', 'contrasena', 'basketball', 'abcdefghijklmnopqrstuvwxyz',
  'asdfghjkl', 'trustno1', 'trustnoi', 'passwords', 'password', 'passwort', 'iloveyou', 'football', 'baseball', 'princess', 'sunshine', 'superman', 'starwars', 'whatever', 'computer', 'changeme', 'changeit',
  'abcdefghijklm', 'abcdefghijkl', 'abcdefgh', 'zxcvbnm', 'welcome', 'letmein', 'default', 'charlie', 'michael', 'jennifer', 'monkey', 'dragon', 'master', 'shadow', 'secret', 'freedom', 'batman', 'qwerty', 'qwertz', 'azerty', 'querty', 'abcdef',
  'passwd', 'access', 'gateway', 'server', 'google', 'summer', 'winter', 'spring', 'autumn', 'hello', 'login', 'admin', 'guest', 'pass', 'root', 'user', 'test', 'love', 'temp', 'abcd', 'asdf', 'abc', 'qaz', 'wsx', 'edc', 'mcp',
]
