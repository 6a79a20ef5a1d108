"""An HTTP/3 client that is not ours (aioquic), driven by the tests.

Reads one command per line and prints one line for each:
  get PATH COUNT        the statuses of COUNT requests sent at once, and `location` of the first
  post PATH FORM        the status
  fields NAME=VALUE     a GET of / with one more header field: its status
  frame LENGTH          a header frame that announces LENGTH bytes and brings 300000: what becomes of it
  wait                  how the node closes the connection
"""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StopSendingReceived, StreamReset


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.replies = {}
        self.ended = {}
        self.raw = set()
        self.closed = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        # Who has its answer may be asked to send no more; only a raw frame has none to wait for.
        cut = isinstance(event, StreamReset) or (isinstance(event, StopSendingReceived) and event.stream_id in self.raw)
        if cut and event.stream_id in self.ended:
            self.end(event.stream_id, "cut")
        if isinstance(event, ConnectionTerminated):
            if not self.closed.done():
                self.closed.set_result(f"closed {event.error_code:#x}")
            for stream in list(self.ended):
                self.end(stream, "closed")
        for reply in self.http.handle_event(event):
            if isinstance(reply, HeadersReceived):
                self.replies[reply.stream_id] = dict(reply.headers)
            if isinstance(reply, (HeadersReceived, DataReceived)) and reply.stream_ended:
                self.end(reply.stream_id, "whole")

    def end(self, stream, how):
        if not self.ended[stream].done():
            self.ended[stream].set_result(how)

    def open(self):
        stream = self._quic.get_next_available_stream_id()
        self.ended[stream] = asyncio.get_running_loop().create_future()
        return stream

    def ask(self, method, path, more=(), body=b""):
        stream = self.open()
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path.encode())]
        self.http.send_headers(stream, head + list(more), end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        return stream

    async def status(self, stream):
        self.transmit()
        how = await asyncio.wait_for(self.ended[stream], 20)
        return self.replies[stream][b":status"].decode() if how == "whole" else how

    async def obey(self, command, *words):
        if command == "get":
            streams = [self.ask(b"GET", words[0]) for _ in range(int(words[1]))]
            statuses = [await self.status(stream) for stream in streams]
            location = self.replies.get(streams[0], {}).get(b"location", b"-").decode()
            return " ".join([*statuses, location])
        if command == "post":
            form = (b"content-type", b"application/x-www-form-urlencoded")
            body = words[1].encode() if len(words) > 1 else b""
            return await self.status(self.ask(b"POST", words[0], [form], body))
        if command == "fields":
            name, value = words[0].split("=")
            return await self.status(self.ask(b"GET", "/", [(name.encode(), value.encode())]))
        if command == "frame":
            stream = self.open()
            self.raw.add(stream)
            length = (int(words[0]) | 0x80000000).to_bytes(4, "big")
            self._quic.send_stream_data(stream, b"\x01" + length + bytes(300000))
            self.transmit()
            return await asyncio.wait_for(self.ended[stream], 20)
        return await asyncio.wait_for(self.closed, 20)


async def main(port, authority):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
    configuration.load_verify_locations(authority)
    loop = asyncio.get_running_loop()
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as client:
        print("connected", flush=True)
        while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
            print(await client.obey(*line), flush=True)
        client.close()


try:
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
except ConnectionError as error:
    print(f"refused {error}".strip(), flush=True)
