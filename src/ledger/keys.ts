import { createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { openMasterKey } from '../identity/master-key.ts'
import { keyId, signerOf } from './checkpoint.ts'

/** The secret of a data directory from which the key that signs its checkpoints is made. */
export function ledgerSeed (data: string): Buffer {
  return openMasterKey(data).deriveKey('ledger checkpoints')
}

/** The keys whose signature counts: that of this data directory, and those in the files (PEM). Throws an Error that names the file. */
export function trustedKeys (data: string, files: readonly string[]): Map<string, KeyObject> {
  const { key, publicKey } = signerOf(ledgerSeed(data))
  return new Map([[key, publicKey], ...readKeys(files)])
}

/** Public keys from PEM files, by their ids. Throws an Error that names the file. */
export function readKeys (files: readonly string[]): Map<string, KeyObject> {
  return new Map(files.map(file => {
    const publicKey = readKey(file)
    return [keyId(publicKey), publicKey]
  }))
}

function readKey (file: string): KeyObject {
  try {
    return createPublicKey(readFileSync(file))
  } catch (error) {
    throw new Error(`${file} does not hold a public key (PEM, as \`portcullis audit key\` prints it).`, { cause: error })
  }
}
