import t from 'tap'
import { questionProblem } from '../../src/bridge/question.ts'

const problemOf = (properties: object): string | null => questionProblem({ method: 'elicitation/create', params: { message: 'Please', requestedSchema: { type: 'object', properties } } })

t.test('a form that asks for a secret is refused by what the person reads, however it is spelt', async (t) => {
  const secret = [
    { password: { type: 'string' } }, { answer: { type: 'string', title: 'Password' } }, { code: { type: 'string', description: 'your API token' } },
    { p\u0430ssword: { type: 'string' } }, { pass: { type: 'string' } }, { user_pass: {} }, { answer: { title: 'PIN' } }, { answer: { title: 'passw0rd' } },
    { answer: { title: 'pass\u00adword' } }, { answer: { title: 'ｐａｓｓｗｏｒｄ' } }, { answer: { description: 'never enter your password here' } },
  ]
  for (const properties of secret) t.match(problemOf(properties), /must not ask for/, JSON.stringify(properties))
})

t.test('an ordinary form passes', async (t) => {
  const ordinary = [
    { colour: { type: 'string', title: 'Colour', description: 'Which one shall pass?' } }, { compass: {}, bypass: {}, spin: {} },
    { pin: { type: 'boolean', title: 'Pin the message' } }, { name: { title: 7 } }, { name: null }, { note: { description: '\u0316\u0301'.repeat(50_000) } },
  ]
  for (const properties of ordinary) t.equal(problemOf(properties), null, JSON.stringify(properties).slice(0, 80))
})
