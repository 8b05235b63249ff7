// What every peer on Node needs: settings from the environment, and as many processes as there are cores.
import cluster from 'node:cluster'
import { availableParallelism } from 'node:os'

const WORKERS = Number(process.env.WORKERS ?? availableParallelism())
// The connections that gatherum has by default, shared among the processes.
const CONNECTIONS = 15

export const settings = {
  databaseUrl: process.env.DATABASE_URL,
  port: Number(process.env.PORT),
  connections: Math.floor(CONNECTIONS / WORKERS),
  counts: process.env.COUNTS, // kept or live
}

export function run(serve) {
  if (cluster.isPrimary) {
    for (let n = 0; n < WORKERS; n++) cluster.fork()
    process.on('SIGTERM', () => process.exit(0))
  } else {
    serve()
  }
}
