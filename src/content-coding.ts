import { Refusal } from './errors.ts'

/** Refuses (415) a body that its sender compressed, by the header alone: nothing here unpacks one (RFC 9110 sections 12.5.3 and 15.5.16). */
export function refuseEncoded (coding: string | undefined): void {
  if (coding === undefined || /^(?:identity)?$/i.test(coding)) return
  throw new Refusal('PORTCULLIS_UNSUPPORTED_MEDIA_TYPE', { message: 'The header Content-Encoding says that the body is compressed. Send it uncompressed and without that header.', headers: { 'accept-encoding': 'identity' } })
}
