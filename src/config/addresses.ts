import { BlockList, isIP } from 'node:net'

/** Why an upstream may not be connected to this address, or undefined when it may. Pure. */
export function addressProblem (address: string, granted: BlockList): string | undefined {
  if (isIP(address) === 0) return 'it is not an address'
  const [inner = address] = embedded(address)
  if (contains(never, address) || contains(never, inner)) return 'it leads to the metadata of the host, its own link, or nowhere'
  const isPrivate = contains(closed, address) || contains(closed, inner)
  return isPrivate && !contains(granted, address) ? 'it is private, and "private" does not grant it' : undefined
}

/** Ranges as `private` writes them, and single addresses. */
export function ranges (texts: readonly string[]): BlockList {
  const list = new BlockList()
  for (const text of texts) {
    const [address = '', length] = text.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (length === undefined) list.addAddress(address, family)
    else list.addSubnet(address, Number(length), family)
  }
  return list
}

/** Nobody is ever granted these: metadata services of clouds, links, multicast, what routes do not lead to. */
const never = ranges([
  '0.0.0.0/8', '169.254.0.0/16', '100.100.100.200', '168.63.129.16', '192.0.0.0/24', '224.0.0.0/4', '240.0.0.0/4',
  '::', 'fe80::/10', 'ff00::/8', 'fd00:ec2::254', 'fd20:ce::254', '2001::/32', '64:ff9b:1::/48', '100::/64',
])

/** Networks that are not the public internet: refused unless they are granted. */
const closed = ranges([
  '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '127.0.0.0/8', '100.64.0.0/10', '198.18.0.0/15', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24', '192.88.99.0/24',
  '::1', 'fc00::/7', 'fec0::/10', '2001:db8::/32',
])

function contains (list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/** The IPv4 address that an IPv6 address stands for: mapped and compatible, NAT64, 6to4. */
function embedded (address: string): string[] {
  if (isIP(address) !== 6 || address.includes('%')) return []
  const groups = groupsOf(address)
  const [first, second, third] = groups
  const zeros = (from: number, to: number): boolean => groups.slice(from, to).every((group) => group === 0)
  if (first === 0x2002) return [dotted(second, third)]
  const isLow = zeros(0, 5) && (groups[5] === 0 || groups[5] === 0xffff) && (groups[6] !== 0 || (groups[7] ?? 0) > 1)
  const isNat64 = first === 0x64 && second === 0xff9b && zeros(2, 6)
  return isLow || isNat64 ? [dotted(groups[6], groups[7])] : []
}

function groupsOf (address: string): number[] {
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = text.split('::')
  const read = (part: string): number[] => part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  if (tail === undefined) return read(head)
  const [left, right] = [read(head), read(tail)]
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
}

function dotted (high = 0, low = 0): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
