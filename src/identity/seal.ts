import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const VERSION = 1

/** AES-256-GCM; `label` must be given again to open. version (1) · iv (12) · tag (16) · ciphertext */
export function seal (key: Buffer, label: string, plain: Buffer): Buffer {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(label))
  const body = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([Buffer.from([VERSION]), iv, cipher.getAuthTag(), body])
}

/** Throws when the bytes were changed, or sealed under another key or label. */
export function open (key: Buffer, label: string, sealed: Buffer): Buffer {
  if (sealed[0] !== VERSION || sealed.length < 29) throw new Error('not sealed by this version of Portcullis')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(1, 13), { authTagLength: 16 })
  decipher.setAAD(Buffer.from(label)).setAuthTag(sealed.subarray(13, 29))
  return Buffer.concat([decipher.update(sealed.subarray(29)), decipher.final()])
}
