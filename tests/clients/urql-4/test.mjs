import '../catalogue.mjs'
import * as urql from '@urql/core'
import * as persisted from '@urql/exchange-persisted'
import { testUrql } from '../urql.mjs'

testUrql(urql, persisted, { method: 'POST' })
