"""Margin and position modes, seen by an unmodified ccxt: isolated wallets, two legs a symbol.

usage: modes.py BASE_URL KEY SECRET [SYMBOL ...]

The account starts and ends flat, cross and one-way.
"""

import sys

import ccxt

from venue import options, smallest_order


class Trader:
    def __init__(self, client, symbol):
        self.client, self.symbol = client, symbol
        self.checks = 0

    def check(self, holds, what):
        self.checks += 1
        if not holds:
            raise AssertionError(f'{self.symbol}: {what}')

    def refused(self, error, what, call, *arguments):
        try:
            call(*arguments)
        except error:
            self.checks += 1
            return
        raise AssertionError(f'{self.symbol}: {what} was accepted')

    def positions(self):
        return {p['side']: p for p in self.client.fetch_positions([self.symbol]) if p['contracts']}

    def market(self, side, qty, **params):
        return self.client.create_order(self.symbol, 'market', side, qty, None, params)

    def isolated(self, qty):
        client, symbol = self.client, self.symbol
        client.set_margin_mode('isolated', symbol)
        self.market('buy', qty)
        held = self.positions()['long']
        self.check(held['marginMode'] == 'isolated', f'the position is isolated: {held}')
        self.refused(ccxt.ExchangeError, 'a margin mode with a position',
                     client.set_margin_mode, 'cross', symbol)
        client.add_margin(symbol, 10)
        more = self.positions()['long']
        grew = more['collateral'] - held['collateral']
        self.check(9 < grew < 11, f'margin was added: {grew}')
        client.reduce_margin(symbol, 5)
        self.refused(ccxt.InsufficientFunds, 'to take out what must stay',
                     client.reduce_margin, symbol, more['collateral'])
        moves = client.fetch_margin_adjustment_history(symbol)
        self.check([m['type'] for m in moves][-2:] == ['add', 'reduce'], f'the moves: {moves}')
        self.market('sell', qty, reduceOnly=True)
        client.set_margin_mode('cross', symbol)

    def hedged(self, qty):
        client = self.client
        client.set_position_mode(True)
        self.check(client.fetch_position_mode()['hedged'], 'the account hedges')
        self.refused(ccxt.ExchangeError, 'an order of no leg', self.market, 'buy', qty)
        self.market('buy', qty, positionSide='LONG')
        self.market('sell', 2 * qty, positionSide='SHORT')
        self.refused(ccxt.ExchangeError, 'a position mode with a position',
                     client.set_position_mode, False)
        held = self.positions()
        sizes = {side: row['contracts'] for side, row in held.items()}
        self.check(sizes == {'long': qty, 'short': 2 * qty}, f'two legs: {sizes}')
        self.market('sell', qty, positionSide='LONG')
        self.market('buy', 2 * qty, positionSide='SHORT')
        self.check(not self.positions(), 'both legs are closed')
        client.set_position_mode(False)

    def run(self):
        self.check(not self.positions(), 'the account starts flat')
        ask = self.client.fetch_order_book(self.symbol, 5)['asks'][0][0]
        qty = smallest_order(self.client, self.symbol, ask)
        self.isolated(qty)
        self.hedged(qty)


def main():
    base, key, secret, *symbols = sys.argv[1:]
    client = ccxt.binanceusdm(options(base, key, secret))
    client.load_markets()
    failed = 0
    for symbol in symbols or ['BTC/USDT:USDT']:
        trader = Trader(client, symbol)
        try:
            trader.run()
            print(f'modes {symbol}: {trader.checks} checks hold')
        except Exception as error:  # every failure is reported, whatever its kind
            failed += 1
            print(f'modes {symbol}: FAILED after {trader.checks} checks: '
                  f'{type(error).__name__} {error}')
    sys.exit(1 if failed else 0)


main()
