import '../catalogue.mjs'
import * as urql from '@urql/core'
import { testUrql } from '../urql.mjs'

testUrql(urql, { method: 'GET' })
