import { check, url } from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { serverAudits } from 'graphql-http'

const audits = serverAudits({ url, fetchFn: fetch })

check('the audit has all its parts', () => assert.equal(audits.length, 61))

for (const audit of audits) {
  check(`${audit.id}: ${audit.name}`, async () => {
    const { status, reason } = await audit.fn()
    assert.equal(status, 'ok', reason)
  })
}
