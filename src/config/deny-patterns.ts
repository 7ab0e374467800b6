import type { DenyPattern } from './config.ts'

/*
 * RE2 syntax, searched in every text of a call's arguments. They stop the plain forms of three things nobody wants an
 * assistant to do, and are written to leave ordinary work alone: the sandbox is what contains a server.
 */

const systemPath = String.raw`/(?:bin|boot|dev|etc|home|lib|lib64|opt|proc|root|run|sbin|srv|sys|usr|var|Users|System)?(?:/?\*)?/?`
const rootLike = String.raw`(?:["']?(?:${systemPath}|~/?\*?|\$\{?HOME\}?/?\*?)["']?)`
const options = String.raw`(?:-{1,2}[\w=-]*\s+)*`
const commandEnd = String.raw`(?:$|[\s;&|)"'\x60])`
const blockDevice = String.raw`/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|disk\d|mapper/|md\d|dm-\d|loop\d)`
const shell = String.raw`(?:sudo\s+(?:-\S+\s+)*)?(?:(?:/usr)?/bin/)?(?:env\s+)?(?:(?:ba|da|z|k|a|c|tc|fi)?sh\b|(?:python[\d.]*|perl|ruby|node)\s*(?:-\s*)?(?:$|[;&|\n"']))`

const destructive = [
  // rm -rf / and its spellings, on the root, a home or a top-level directory of the system
  String.raw`\brm\s+${options}(?:-[a-zA-Z]*[rR][a-zA-Z]*|--recursive)\s+${options}${rootLike}${commandEnd}`,
  String.raw`--no-preserve-root\b`,
  String.raw`\bfind\s+${rootLike}\s[^\n;|&]*-delete\b`,
  // file systems and raw disks
  String.raw`\bmkfs(?:\.[a-z0-9]+)?\s[^\n;|&]*/dev/`,
  String.raw`\bdd\s[^\n;|&]*\bof=["']?${blockDevice}`,
  String.raw`>\s*["']?${blockDevice}`,
  String.raw`\b(?:wipefs|blkdiscard|shred)\s[^\n;|&]*${blockDevice}`,
  // fork bombs
  String.raw`[\w:.]+\s*\(\s*\)\s*\{\s*[\w:.]+\s*\|\s*[\w:.]+\s*&\s*\}\s*;`,
  // code from the network straight into an interpreter
  String.raw`\b(?:curl|wget)\s[^\n|]*\|\s*${shell}`,
  String.raw`(?:\b(?:(?:ba|da|z|k|a)?sh\s+-\w*c|eval)\s+["']?|(?:\b(?:source|(?:ba|z|k)?sh)|(?:^|[\s;&|])\.)\s+)(?:\$\(|<\(|\x60)\s*(?:curl|wget)\s`,
]

const dots = String.raw`\.\.(?:[/\\]|$)`

const traversal = [
  // the text begins as a path that climbs
  String.raw`^\s*(?:file:/*)?(?:\.?[/\\]+)*${dots}`,
  // a path that climbs after a directory name
  String.raw`[^\s./\\'"\x60(\[{,=:][/\\]+(?:\.[/\\]+)*${dots}`,
  // in a text of one line, which source code seldom is, also behind other characters
  String.raw`^[^\n\r]*(?:[\s'"\x60(\[{,=:][/\\]+|[=:])${dots}`,
  // an argument of a command line that climbs twice; in source code a quote stands before it
  String.raw`\s${dots}${dots}`,
  // percent-encoded once or twice, and the overlong forms old decoders accept
  String.raw`(?:%(?:25)?2[eE](?:%(?:25)?2[eE]|\.)|\.%(?:25)?2[eE])(?:[/\\]|%(?:25)?(?:2[fF]|5[cC])|$)`,
  String.raw`\.\.%(?:25)?(?:2[fF]|5[cC])`,
  String.raw`%[cC]0%(?:[aA][eEfF]|2[eEfF])`,
]

/** 169.254.169.254 and 169.254.170.2 in the spellings that resolvers and HTTP clients accept, and the names for them. */
const metadata = [
  String.raw`\b169[.-]254[.-](?:169[.-]25[34]|170[.-](?:2|23))\b`,
  String.raw`\b(?:2852039166|2852039165|2852039682)\b`,
  String.raw`(?i)\b0x0*a9(?:fea9f[de]|feaa02)\b`,
  String.raw`(?i)\b(?:0x0*a9|0+251|169)\.(?:0x0*fe|0+376|254)\.(?:0x0*a9|0+251|169)\.(?:0x0*f[de]|0+37[56]|25[34])\b`,
  String.raw`\b169\.254\.43518\b|\b169\.16689662\b`,
  String.raw`(?i)\bfd00:0?ec2:(?::|(?:0{1,4}:){5})0?254\b`,
  String.raw`(?i)\[(?:0*:){0,5}:?(?:ffff:)?a9fe:a9f[de]\]`,
  String.raw`(?i)\bmetadata\.(?:google|azure|goog|oraclecloud)(?:\.internal|\.com)?\b|\binstance-data(?:\.[a-z0-9-]+)*\.(?:internal|amazonaws\.com)\b`,
  String.raw`\b100\.100\.100\.200\b`,
]

/** What `guards.deny` holds unless `guards.defaults` is false. */
export const denyPatterns: readonly DenyPattern[] = Object.entries({
  'destructive-command': destructive,
  'path-traversal': traversal,
  'metadata-address': metadata,
}).map(([name, alternatives]) => ({ name, pattern: alternatives.map((text) => `(?:${text})`).join('|'), in: 'arguments', line: 0 }))
