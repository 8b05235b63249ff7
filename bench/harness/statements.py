"""Counts the statements that reach PostgreSQL, from any server: a proxy that reads the wire protocol."""
import asyncio
import threading
import urllib.parse

STARTUP_SSL = 80877103
STARTUP_GSS = 80877104
EXECUTE, SIMPLE_QUERY = b"E", b"Q"


class Proxy:
    """Passes connections on to the server of `url`, and counts. A ping, which is a message without a statement, is none."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.server = (parts.hostname, parts.port or 5432)
        self.statements = 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait()
        self.url = parts._replace(netloc=f"{parts.username or 'postgres'}@127.0.0.1:{self.port}").geturl()

    def count(self, work):
        """The number of statements that were sent while `work` ran."""
        before = self.statements
        work()
        return self.statements - before

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        listening = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = listening.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _serve(self, client, to_client):
        server, to_server = await asyncio.open_connection(*self.server)
        back = asyncio.create_task(self._copy(server, to_client))
        try:
            await self._forward(client, to_client, to_server)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            to_server.close()
            await asyncio.wait([back])

    async def _copy(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _forward(self, client, to_client, to_server):
        # The first messages have no type. Encryption, which would hide the others, is rejected.
        while True:
            head = await client.readexactly(8)
            length, code = int.from_bytes(head[:4]), int.from_bytes(head[4:])
            if code not in (STARTUP_SSL, STARTUP_GSS):
                to_server.write(head + await client.readexactly(length - 8))
                break
            to_client.write(b"N")
        while True:
            kind = await client.readexactly(1)
            head = await client.readexactly(4)
            to_server.write(kind + head + await client.readexactly(int.from_bytes(head) - 4))
            if kind in (EXECUTE, SIMPLE_QUERY):
                self.statements += 1
            await to_server.drain()
