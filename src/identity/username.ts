import { Refusal } from '../errors.ts'

/** As every name is looked up. Total: any text has a normal form, and a name that could not exist finds nobody. */
export function normaliseUsername (name: string): string {
  return name.normalize('NFKC').toLowerCase().replaceAll('\0', '\uFFFD')
}

/** A name that may be given to a new user. Names end up in paths and arguments of upstreams, so only plain signs are allowed. */
export function readUsername (name: string): string {
  if (/^[a-z0-9](?:(?:[a-z0-9@_+-]|\.(?!\.)){0,62}[a-z0-9])?$/i.test(name)) return name
  throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'A user name is 1 to 64 of the letters a to z, digits, with @ . _ + - in between: it starts and ends with a letter or digit and has no two dots in a row.' })
}
