/**
 * The ways in which a server may read a resource URI. Many spellings name one resource, and which of them a server takes
 * for the same is its own affair: policy judges them all.
 */

/**
 * The URI as it was sent, then its canonical form where that is another: percent-encoding undone, scheme and host in lower
 * case, runs of slashes made one, dot segments removed. There are two canonical forms where it matters what the dots may
 * climb out of: the path alone, or everything after `://`, as a server has it that cuts off the scheme and opens the rest.
 */
export function uriForms (uri: string): readonly string[] {
  const { scheme, authority, path, rest } = split(uri)
  const strict = `${scheme}${authority}${withoutDots(path)}${rest}`
  const loose = `${scheme}${withoutDots(`${authority}${path}${rest}`)}`
  return [...new Set([uri, strict, loose])]
}

/**
 * False for a text with characters that parsers of URIs drop: control characters, and white space at its ends. A space
 * elsewhere is no URI either, but keeps its place in all of them, and there are servers that name their resources so.
 */
export function isUri (text: string): boolean {
  return !/\p{Cc}|^\s|\s$/u.test(text)
}

/** The literal pieces between the wildcards of a pattern, spelt as the canonical form of a URI is. */
export function canonicalPieces (pieces: readonly string[]): string[] {
  const [first = '', ...more] = pieces
  const { scheme, authority, path, rest } = split(first)
  return [`${scheme}${authority}${path}${rest}`, ...more.map((piece) => decode(piece).replace(/(?<!:)\/{2,}/g, '/'))]
}

const parts = /^([a-z][a-z0-9+.-]*:(?:\/\/)?)?((?<=\/\/)[^/?#]*)?([^?#]*)(.*)$/is
/** `https:host`, `https:///host` and `file:/path` are other spellings of `https://host` and `file:///path` (WHATWG URL). */
const web = /^(https?|wss?|ftp):\/*(?=[^/])/i
const local = /^file:\/?(?=[^/])/i

function split (uri: string): { scheme: string, authority: string, path: string, rest: string } {
  const [, scheme = '', authority = '', path = '', rest = ''] = parts.exec(uri.replaceAll('\\', '/').replace(web, '$1://').replace(local, 'file:///')) ?? []
  const host = decode(authority).toLowerCase()
  return { scheme: scheme.toLowerCase(), authority: host === 'localhost' && /^file:/i.test(scheme) ? '' : host, path: oneSlash(decode(path)), rest: oneSlash(decode(rest)) }
}

/** Bytes that are no UTF-8 become U+FFFD, so that nothing next to them stays encoded. */
function decode (text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8')).replaceAll('\\', '/')
}

function oneSlash (text: string): string {
  return text.replace(/\/{2,}/g, '/')
}

function withoutDots (path: string): string {
  if (!/(^|\/)\.\.?(\/|$)/.test(path)) return path
  const kept: string[] = []
  const segments = path.split('/')
  for (const [at, segment] of segments.entries()) {
    const dots = segment === '.' || segment === '..'
    if (!dots) kept.push(segment)
    else if (segment === '..' && !(kept.length === 1 && kept[0] === '')) kept.pop()
    if (dots && at === segments.length - 1) kept.push('')
  }
  return kept.join('/')
}
