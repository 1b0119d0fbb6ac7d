"""A cluster of a scenario's own, whose index prices are what the scenario says."""

import http.server
import json
import re
import subprocess
import threading
import time

from venue import options


class Index:
    """A ticker on loopback that says what it is told to say; at first nothing."""

    def __init__(self, *names):
        self.names, self.prices = names, {}
        index = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                now_ms = int(time.time() * 1000)
                body = json.dumps([{'symbol': name, 'price': f'{price:.4f}', 'time': now_ms}
                                   for name, price in list(index.prices.items())]).encode()
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_port}/fapi/v1/ticker/price'

    def seed(self, text):
        """The seed with this index instead of the simulated one."""
        for name in self.names:
            head, ours = text.split(f'symbol = "{name}"\n')
            text = head + f'symbol = "{name}"\n' + re.sub(r'index_price = .*\n', '', ours, count=1)
        symbols = ', '.join(f'{name} = "{name}"' for name in self.names)
        return (f'{text}\n[[index.source]]\nname = "here"\nurl = "{self.url}"\npoll_ms = 500\n'
                f'symbols = {{ {symbols} }}\n')


class Cluster:
    def __init__(self, exchange, seed, data):
        self.exchange, self.data = exchange, data
        self.tool('up', '--detach', '--port', '0', '--no-bots', '--seed', seed)
        self.base = self.file()['base_url']

    def file(self):
        return json.loads((self.data / 'cluster.json').read_text())

    def tool(self, *words):
        done = subprocess.run([self.exchange, *words, '--data', self.data], text=True,
                              capture_output=True)
        if done.returncode:
            raise RuntimeError(f'exchange {words[0]}: {done.stderr or done.stdout}')
        return done.stdout

    def account(self, name, deposit):
        """What the constructor of a client of a new account takes."""
        made = json.loads(self.tool('account', 'add', name, '--deposit', str(deposit)))
        return options(self.base, made['api_key'], made['secret'])

    def down(self):
        self.tool('down')
