"""A symbol's life on a running cluster, seen by an unmodified ccxt: listed, traded, only reduced,
halted, resumed and settled, with every balance told to the last digit.

usage: states.py EXCHANGE DATA

EXCHANGE is the operator's tool, DATA the directory of a cluster that `exchange up` has started.
Run again, it trades the symbol that it has settled before.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

import ccxt

from venue import options

NAME, SYMBOL, INDEX = 'DOGEUSDT', 'DOGE/USDT:USDT', '0.2'
LISTING = f"""
[sharding]
default = 3

[[instrument]]
symbol = "{NAME}"
base = "DOGE"
quote = "USDT"
tick_size = "0.00001"
step_size = "1"
min_price = "0.001"
max_price = "100"
min_qty = "1"
max_qty = "10000000"
max_market_qty = "2000000"
min_notional = "5"
multiplier_up = "1.05"
multiplier_down = "0.95"
market_take_bound = "0.05"
trigger_protect = "0.05"
liquidation_fee = "0.015"
maker_fee = "0.0002"
taker_fee = "0.0005"
default_leverage = 20
funding_interval_hours = 8
index_price = "{INDEX}"

[[instrument.bracket]]
cap = "5000000"
max_leverage = 50
maintenance = "0.01"
"""
QTY = 1000
PATIENCE_S = 20


class Operator:
    def __init__(self, tool, data):
        self.tool, self.data = tool, data
        self.base = json.loads((pathlib.Path(data) / 'cluster.json').read_text())['base_url']

    def say(self, *words):
        command = [self.tool, *words, '--data', self.data]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def refused(self, *words):
        try:
            self.say(*words)
        except subprocess.CalledProcessError as error:
            return error.stderr
        raise AssertionError(f'the operator was let: {words}')

    def state(self, state, *more):
        return self.say('symbol', 'state', NAME, state, *more)

    def symbol(self):
        symbols = json.loads(self.say('symbol', 'list', '--json'))
        return next(row for row in symbols if row['symbol'] == NAME)

    def trader(self, name):
        known = json.loads(self.say('account', 'add', name, '--deposit', '10000'))
        return Trader(ccxt.binanceusdm(options(self.base, known['api_key'], known['secret'])))


class Trader:
    def __init__(self, client):
        self.client = client

    def order(self, side, price, qty=QTY, **params):
        return self.client.create_order(SYMBOL, 'limit', side, qty, price, params)

    def held(self):
        return sum(p['contracts'] * (1 if p['side'] == 'long' else -1)
                   for p in self.client.fetch_positions([SYMBOL]))

    def wallet(self):
        rows = self.client.fapiPrivateV3GetBalance()
        return next(Decimal(row['balance']) for row in rows if row['asset'] == 'USDT')

    def income(self, since):
        rows = self.client.fapiPrivateGetIncome({'startTime': since, 'limit': 1000})
        return sum((Decimal(row['income']) for row in rows), Decimal(0))


class Life:
    def __init__(self, operator):
        self.operator, self.checks = operator, 0

    def check(self, holds, what):
        self.checks += 1
        if not holds:
            raise AssertionError(what)

    def refused(self, what, call, *arguments, **more):
        try:
            call(*arguments, **more)
        except ccxt.ExchangeError:
            self.checks += 1
            return
        raise AssertionError(f'{what} was accepted')

    def until(self, what, holds):
        end = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f'{what}: not within {PATIENCE_S} s')
            time.sleep(0.1)
        self.checks += 1

    def status(self):
        symbols = self.buyer.client.fapiPublicGetExchangeInfo()['symbols']
        return next((row['status'] for row in symbols if row['symbol'] == NAME), None)

    def begin(self):
        with tempfile.NamedTemporaryFile('w', suffix='.toml') as file:
            file.write(LISTING)
            file.flush()
            for _ in range(2):  # twice is once
                self.operator.say('load', file.name)
            file.seek(0)
            file.truncate()
            file.write(LISTING.replace('tick_size = "0.00001"', 'tick_size = "0.0001"'))
            file.flush()
            self.operator.refused('load', file.name)
            self.checks += 1
        self.buyer, self.seller = map(self.operator.trader, ('states-buyer', 'states-seller'))
        self.operator.state('TRADING')
        self.until('a mark', lambda: self.mark() > 0)
        self.until('trading', lambda: self.status() == 'TRADING')
        for trader in (self.buyer, self.seller):
            trader.client.load_markets(True)
        flat = not self.buyer.held() and not self.seller.held()
        self.check(flat, 'both start flat')

    def mark(self):
        try:
            rows = self.client().fapiPublicGetPremiumIndex({'symbol': NAME})
        except ccxt.ExchangeError:
            return 0.0
        return float(rows['markPrice'])

    def client(self):
        return self.buyer.client

    def price(self):
        return float(self.client().price_to_precision(SYMBOL, self.mark()))

    def trade(self):
        before = self.buyer.held(), self.seller.held()
        offer = self.seller.order('sell', self.price())
        self.buyer.order('buy', self.price() * 1.02)
        if self.seller.client.fetch_order(offer['id'], SYMBOL)['status'] == 'open':
            # market makers were cheaper, and buy it now
            self.seller.client.cancel_order(offer['id'], SYMBOL)
            self.seller.order('sell', self.price() * 0.98)
        held = self.buyer.held(), self.seller.held()
        self.check(held == (before[0] + QTY, before[1] - QTY), f'it trades: {before}, {held}')

    def run(self):
        self.begin()
        since = int(self.client().fetch_time())
        before = [trader.wallet() for trader in (self.buyer, self.seller)]
        self.trade()
        resting = self.buyer.order('buy', self.price() * 0.98)

        self.operator.state('REDUCE_ONLY')
        self.refused('an order that opens', self.buyer.order, 'buy', self.price())
        less = self.buyer.order('sell', self.price() * 1.02, reduceOnly=True)
        self.client().cancel_order(less['id'], SYMBOL)

        self.operator.state('HALT')
        self.refused('an order in a halt', self.buyer.order, 'sell', self.price(), reduceOnly=True)
        self.refused('a cancel in a halt', self.client().cancel_order, resting['id'], SYMBOL)
        self.check(not self.client().load_markets(True)[SYMBOL]['active'], 'a halt is told')
        self.check(len(self.client().fetch_open_orders(SYMBOL)) == 1, 'what rests stays')

        self.operator.state('TRADING')
        self.client().load_markets(True)
        self.trade()
        stop = {'stopPrice': self.client().price_to_precision(SYMBOL, self.price() * 0.9)}
        self.client().create_order(SYMBOL, 'market', 'sell', QTY, None, stop)

        self.operator.refused('symbol', 'state', NAME, 'SETTLING', '--price', '99')
        self.check(self.buyer.held() == 2 * QTY, 'a price out of the band ends nothing')
        price = self.client().price_to_precision(SYMBOL, self.mark() * 1.01)
        self.operator.state('SETTLING', '--price', price)
        self.until('the end', lambda: self.status() == 'CLOSE')
        self.settled(price, since, before, resting)

    def settled(self, price, since, before, resting):
        self.check(self.operator.symbol()['state'] == 'HALT', 'it ends in a halt')
        self.check(Decimal(self.operator.symbol()['open_interest']) == 0, 'nothing is open')
        self.check(not self.client().fetch_open_orders(SYMBOL), 'no order is open')
        ended = self.client().fetch_order(resting['id'], SYMBOL)
        self.check(ended['status'] == 'expired', f'what rested has expired: {ended}')
        waiting = self.client().fapiPrivateGetOpenAlgoOrders({'symbol': NAME})
        self.check(waiting == [], f'no condition waits: {waiting}')
        for trader, was in zip((self.buyer, self.seller), before):
            self.check(trader.held() == 0, 'nothing is held')
            last = trader.client.fetch_my_trades(SYMBOL)[-1]
            at = Decimal(last['info']['price'])
            self.check(at == Decimal(price), f'at the price that was said: {last}')
            self.check(Decimal(last['info']['commission']) == 0, 'for no fee')
            order = trader.client.fetch_order(last['order'], SYMBOL)
            name = order['clientOrderId']
            self.check(name.startswith('settlement_autoclose-'), f'by its name: {name}')
            self.check(order['status'] == 'closed', f'whole: {order}')
            wallet = trader.wallet()
            income = trader.income(since)
            self.check(wallet == was + income != was, f'{was} and {income} are {wallet}')
        self.refused('an order after the end', self.buyer.order, 'buy', self.price())


def main():
    life = Life(Operator(*sys.argv[1:3]))
    try:
        life.run()
    except Exception as error:  # every failure is reported, whatever its kind
        print(f'states {SYMBOL}: FAILED after {life.checks} checks: {type(error).__name__} {error}')
        raise SystemExit(1) from error
    print(f'states {SYMBOL}: {life.checks} checks hold')


main()
