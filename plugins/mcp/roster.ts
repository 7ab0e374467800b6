/** What can stand in a roster: it keeps its place there, -1 when it has none. The place belongs to the roster. */
export interface Placed { place: number }

/**
 * Members that come and go with every call, each of which knows its place: that costs a call less than a Set or a Map,
 * which are rebuilt as calls run through them.
 */
export class Roster<Member extends Placed> {
  readonly #members: Member[] = []

  get size (): number {
    return this.#members.length
  }

  /** False when it stands here already. */
  add (member: Member): boolean {
    if (member.place >= 0) return false
    member.place = this.#members.push(member) - 1
    return true
  }

  delete (member: Member): void {
    const { place } = member
    if (place < 0) return
    member.place = -1
    const last = this.#members.pop()
    if (last === undefined || last === member) return
    this.#members[place] = last
    last.place = place
  }

  /** A copy, since members may go while they are looked at. */
  all (): Member[] {
    return [...this.#members]
  }
}
