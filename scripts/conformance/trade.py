"""The life of orders, seen by an unmodified ccxt: rest, amend, cancel, fill, close, look back.

usage: trade.py BASE_URL KEY SECRET [SYMBOL ...]
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

    def held(self):
        rows = self.client.fetch_positions([self.symbol])
        return sum(r['contracts'] * (1 if r['side'] == 'long' else -1) for r in rows)

    def order(self, id):
        return self.client.fetch_order(id, self.symbol)

    def wallet_adds_up(self):
        wallet = self.client.fetch_balance()['USDT']
        drift = abs(wallet['free'] + wallet['used'] - wallet['total'])
        self.check(drift < 1e-6, f'free + used != total: {wallet}')

    def rest_amend_cancel(self, side, price, further):
        client, symbol = self.client, self.symbol
        qty = smallest_order(client, symbol, price)
        placed = client.create_order(symbol, 'limit', side, qty, price, {'postOnly': True})
        self.check(placed['status'] == 'open', f'a far order rests: {placed}')
        listed = [o['id'] for o in client.fetch_open_orders(symbol)]
        self.check(placed['id'] in listed, 'a resting order is among the open ones')
        self.wallet_adds_up()
        amended = client.edit_order(placed['id'], symbol, 'limit', side, qty, further)
        self.check(amended['id'] == placed['id'], 'an amend keeps the id')
        self.check(abs(self.order(placed['id'])['price'] - further) < 1e-9, 'the price moved')
        client.cancel_order(placed['id'], symbol)
        self.check(self.order(placed['id'])['status'] == 'canceled', 'it is canceled')
        self.refused(ccxt.OrderNotFound, 'a second cancel', client.cancel_order, placed['id'], symbol)

    def fill_and_close(self, side, price):
        client, symbol = self.client, self.symbol
        back, sign = ('sell', 1) if side == 'buy' else ('buy', -1)
        qty = smallest_order(client, symbol, price)
        taken = client.create_order(symbol, 'limit', side, qty, price)
        seen = self.order(taken['id'])
        self.check(seen['status'] == 'closed' and seen['filled'] == qty, f'it fills: {seen}')
        self.check(abs(self.held() - sign * qty) < 1e-9, f'the position is {self.held()}')
        self.wallet_adds_up()
        closed = client.create_order(symbol, 'market', back, qty, None, {'reduceOnly': True})
        self.check(self.order(closed['id'])['filled'] == qty, 'the close fills')
        self.check(self.held() == 0, 'flat again')
        self.wallet_adds_up()
        trades = [t['order'] for t in client.fetch_my_trades(symbol)]
        self.check({taken['id'], closed['id']} <= set(trades), 'both orders have trades')

    def refusals(self, price):
        client, symbol = self.client, self.symbol
        qty = smallest_order(client, symbol, price)
        again = {'clientOrderId': f'twice-{client.milliseconds()}'}
        first = client.create_order(symbol, 'limit', 'buy', qty, price, again)
        self.refused(ccxt.InvalidOrder, 'a client id used twice',
                     client.create_order, symbol, 'limit', 'buy', qty, price, again)
        client.cancel_order(first['id'], symbol)
        self.refused(ccxt.InvalidOrder, 'a reduce-only order without a position',
                     client.create_order, symbol, 'limit', 'sell', qty, price * 1.02,
                     {'reduceOnly': True})
        absurd = {'symbol': client.market_id(symbol), 'side': 'BUY', 'type': 'LIMIT',
                  'timeInForce': 'GTC', 'price': client.price_to_precision(symbol, price),
                  'quantity': '1' + '0' * 30}
        self.refused(ccxt.BadRequest, 'an absurd quantity', client.fapiPrivatePostOrder, absurd)

    def conditional(self, bid, below):
        client, symbol = self.client, self.symbol
        qty = smallest_order(client, symbol, bid)
        trigger = {'triggerPrice': below, 'reduceOnly': True}
        client.create_order(symbol, 'market', 'buy', qty)
        stop = client.create_order(symbol, 'STOP_MARKET', 'sell', qty, None, trigger)
        self.check(stop['status'] == 'open', f'a stop waits: {stop}')
        seen = client.fetch_order(stop['id'], symbol, {'trigger': True})
        self.check(abs(seen['triggerPrice'] - below) < 1e-9, f'its trigger price: {seen}')
        waiting = [o['id'] for o in client.fetch_open_orders(symbol, params={'trigger': True})]
        self.check(stop['id'] in waiting, 'a stop is among those that wait')
        self.refused(ccxt.OrderImmediatelyFillable, 'a stop whose condition holds',
                     client.create_order, symbol, 'STOP_MARKET', 'sell', qty, None,
                     {'triggerPrice': float(client.price_to_precision(symbol, bid * 1.02))})
        client.cancel_order(stop['id'], symbol, {'trigger': True})
        self.refused(ccxt.OrderNotFound, 'a second cancel of a stop',
                     client.cancel_order, stop['id'], symbol, {'trigger': True})
        client.create_order(symbol, 'market', 'sell', qty, None, {'reduceOnly': True})
        self.check(self.held() == 0, 'flat after the stop')

    def run(self):
        client, symbol = self.client, self.symbol
        self.check(self.held() == 0, 'the account starts flat')
        book = client.fetch_order_book(symbol, 5)
        bid, ask = book['bids'][0][0], book['asks'][0][0]
        self.check(bid < ask, 'the book is not crossed')
        at = lambda price: float(client.price_to_precision(symbol, price))
        self.rest_amend_cancel('buy', at(bid * 0.96), at(bid * 0.958))
        self.rest_amend_cancel('sell', at(ask * 1.04), at(ask * 1.042))
        self.fill_and_close('buy', at(ask * 1.02))
        self.fill_and_close('sell', at(bid * 0.98))
        self.refusals(at(bid * 0.97))
        self.conditional(bid, at(bid * 0.96))


def main():
    base, key, secret, *symbols = sys.argv[1:]
    client = ccxt.binanceusdm(options(base, key, secret))
    client.load_markets()
    failed = 0
    for symbol in symbols or ['BTC/USDT:USDT']:
        trader = Trader(client, symbol)
        try:
            trader.run()
            print(f'trade {symbol}: {trader.checks} checks hold')
        except Exception as error:  # every failure is reported, whatever its kind
            failed += 1
            print(f'trade {symbol}: FAILED after {trader.checks} checks: '
                  f'{type(error).__name__} {error}')
    sys.exit(1 if failed else 0)


main()
