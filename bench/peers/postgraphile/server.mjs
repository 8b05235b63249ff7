// PostGraphile 5 as a library, with its recommended preset: https://postgraphile.org/postgraphile/5/usage-library
import { createServer } from 'node:http'
import { postgraphile } from 'postgraphile'
import { makePgService } from 'postgraphile/adaptors/pg'
import { grafserv } from 'postgraphile/grafserv/node'
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber'
import { run, settings } from '../workers.mjs'

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [
    makePgService({
      connectionString: settings.databaseUrl,
      schemas: ['public'],
      poolConfig: { max: settings.connections },
    }),
  ],
  grafserv: { graphiql: false, watch: false },
  grafast: { explain: false },
}

run(async () => {
  const server = createServer()
  await postgraphile(preset).createServ(grafserv).addTo(server)
  server.listen(settings.port, '127.0.0.1')
})
