import { text as readAll } from 'node:stream/consumers'
import type { Readable } from 'node:stream'

import * as prompts from '@clack/prompts'

export interface PasswordSource {
  /** The password is the first line of standard input. */
  readonly passwordStdin?: boolean | undefined
  /** Standard input; asked interactively when it is a terminal. */
  readonly stdin?: (Readable & { readonly isTTY?: boolean }) | undefined
}

/** The password to set, or undefined to have one made. Never an argument: those are seen by every user of the machine. */
export async function newPassword ({ passwordStdin, stdin = process.stdin }: PasswordSource): Promise<string | undefined> {
  if (passwordStdin === true) return firstLine(await readAll(stdin))
  return stdin.isTTY === true ? await ask() : undefined
}

function firstLine (text: string): string {
  const line = text.split(/\r?\n/, 1)[0] ?? ''
  if (line === '') throw new Error('There is no password on standard input. Pipe it in as one line, or leave --password-stdin out to have one made.')
  return line
}

async function ask (): Promise<string | undefined> {
  const password = answered(await prompts.password({ message: 'New password (empty: make one)' }))
  if (password === '') return undefined
  const again = answered(await prompts.password({ message: 'The same again' }))
  if (again !== password) throw new Error('The two passwords are not the same. Nothing was changed.')
  return password
}

function answered (value: string | symbol | undefined): string {
  if (typeof value === 'symbol') throw new Error('Cancelled. Nothing was changed.')
  return value ?? ''
}
