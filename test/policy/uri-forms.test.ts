import t from 'tap'
import { isUri, uriForms } from '../../src/policy/uri-forms.ts'

t.test('a URI that has one reading has one form', async (t) => {
  for (const uri of ['file:///handbook/a.txt', 'memo://one', 'memo://note/{id}', 'https://example.com/a?b=c#d', 'ui://widget/page.html', 'urn:isbn:1', 'file:///a/.hidden/b..c', 'note 7', '']) t.same(uriForms(uri), [uri], uri)
})

t.test('other spellings of a URI have its canonical form, too', async (t) => {
  const cases: [uri: string, ...canonical: string[]][] = [
    ['file:///handbook/%70rivate/pay.csv', 'file:///handbook/private/pay.csv'],
    ['file:///handbook/./private/pay.csv', 'file:///handbook/private/pay.csv'],
    ['file:///handbook//private/pay.csv', 'file:///handbook/private/pay.csv'],
    ['file:///handbook/x/../private/pay.csv', 'file:///handbook/private/pay.csv'],
    ['file:///handbook/x/%2e%2E/private', 'file:///handbook/private'],
    ['file:///handbook/x%2F..%2fprivate', 'file:///handbook/private'],
    ['file:///handbook\\private%5Cpay.csv', 'file:///handbook/private/pay.csv'],
    ['file:///handbook/geh%C3%A4lter', 'file:///handbook/gehälter'],
    ['file:///handbook/%70%FF', 'file:///handbook/p\ufffd'],
    ['FILE:/handbook/a', 'file:///handbook/a'],
    ['file:handbook/a', 'file:///handbook/a'],
    ['file://%6Cocalhost/handbook', 'file:///handbook'],
    ['HTTPS:Example.COM/A', 'https://example.com/A'],
    ['https:///example.com/a', 'https://example.com/a'],
    ['file:///..', 'file:///'],
    ['file:///handbook/%70?/../../etc', 'file:///handbook/p?/../../etc', 'file:///etc'],
    ['memo://handbook/../../etc', 'memo://handbook/etc', 'memo://etc'],
  ]
  for (const [uri, ...canonical] of cases) t.same(uriForms(uri), [uri, ...canonical], uri)
})

t.test('what no URI holds is told apart', async (t) => {
  for (const text of ['a\tb', 'a\nb', 'a\rb', 'a\0b', 'a\x7fb', 'a\u0085b', ' a', 'a ', 'a\u00a0']) t.equal(isUri(text), false, JSON.stringify(text))
  for (const text of ['file:///a%20b', 'notes://My Note', 'memo://note/{id}', 'file:///ä']) t.equal(isUri(text), true, text)
})
