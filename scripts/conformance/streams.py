"""Every stream must reach an unmodified ccxt.pro while its account trades.

usage: streams.py BASE_URL KEY SECRET [SYMBOL ...]
"""

import asyncio
import sys

import ccxt.pro

from venue import options, smallest_order

PATIENCE_S = 15


class Watcher:
    """One client for the public streams, one for those that would share its caches."""

    def __init__(self, base, key, secret, symbol):
        arguments = options(base, key, secret)
        self.symbol = symbol
        self.main = ccxt.pro.binanceusdm(arguments)
        self.other = ccxt.pro.binanceusdm(arguments)

    async def order_book(self):
        for _ in range(15):
            book = await self.main.watch_order_book(self.symbol)
            bids, asks = [r[0] for r in book['bids']], [r[0] for r in book['asks']]
            assert bids and asks and bids[0] < asks[0], f'crossed or empty: {bids[:1]} {asks[:1]}'
            assert bids == sorted(bids, reverse=True) and asks == sorted(asks), 'unsorted'

    async def partial_book(self):
        book = await self.other.watch_order_book(self.symbol, 5)
        assert 0 < len(book['asks']) <= 5, book

    async def trades(self):
        assert (await self.main.watch_trades(self.symbol))[0]['price'] > 0

    async def aggregate_trades(self):
        trades = await self.other.watch_trades(self.symbol, None, None, {'name': 'aggTrade'})
        assert trades[0]['amount'] > 0

    async def ticker(self):
        assert (await self.main.watch_ticker(self.symbol))['last'] > 0

    async def best_prices(self):
        ticker = (await self.main.watch_bids_asks([self.symbol]))[self.symbol]
        assert ticker['bid'] < ticker['ask'], ticker

    async def mark_price(self):
        assert (await self.main.watch_mark_price(self.symbol))['markPrice'] > 0

    async def candles(self):
        candle = (await self.main.watch_ohlcv(self.symbol, '1m'))[-1]
        assert candle[3] <= candle[4] <= candle[2], candle

    async def own_orders(self):
        seen = set()
        while not {'open', 'canceled', 'closed'} <= seen:
            seen |= {o['status'] for o in await self.main.watch_orders(self.symbol)}

    async def own_trades(self):
        trade = (await self.main.watch_my_trades(self.symbol))[0]
        assert trade['order'] and trade['fee']['cost'] >= 0, trade

    async def balance(self):
        assert (await self.main.watch_balance())['USDT']['total'] > 0

    async def positions(self):
        seen = set()
        while not {True, False} <= seen:
            seen |= {bool(p['contracts']) for p in await self.main.watch_positions([self.symbol])}

    async def keep_trading(self, stop):
        client, symbol = self.main, self.symbol
        while not stop.is_set():
            bid = (await client.fetch_order_book(symbol, 5))['bids'][0][0]
            qty = smallest_order(client, symbol, bid)
            price = float(client.price_to_precision(symbol, bid * 0.965))
            far = await client.create_order(symbol, 'limit', 'buy', qty, price)
            await client.cancel_order(far['id'], symbol)
            await client.create_order(symbol, 'market', 'buy', qty)
            await client.create_order(symbol, 'market', 'sell', qty, None, {'reduceOnly': True})
            await asyncio.sleep(0.4)

    async def run(self):
        await self.main.load_markets()
        await self.other.load_markets()
        watches = [self.order_book, self.partial_book, self.trades, self.aggregate_trades,
                   self.ticker, self.best_prices, self.mark_price, self.candles, self.own_orders,
                   self.own_trades, self.balance, self.positions]
        stop = asyncio.Event()
        trading = asyncio.create_task(self.keep_trading(stop))
        results = await asyncio.gather(
            *(asyncio.wait_for(watch(), PATIENCE_S) for watch in watches), return_exceptions=True)
        stop.set()  # the round under way ends first, so the account is flat afterwards
        results += await asyncio.gather(asyncio.wait_for(trading, PATIENCE_S), return_exceptions=True)
        await self.main.close()
        await self.other.close()
        names = [w.__name__ for w in watches] + ['keep_trading']
        return [f'{n}: {type(r).__name__} {r}' for n, r in zip(names, results)
                if isinstance(r, BaseException)], len(names)


async def main():
    base, key, secret, *symbols = sys.argv[1:]
    bad = 0
    for symbol in symbols or ['BTC/USDT:USDT']:
        failures, count = await Watcher(base, key, secret, symbol).run()
        bad += len(failures)
        for failure in failures:
            print(f'streams {symbol}: FAILED {failure}')
        print(f'streams {symbol}: {count - len(failures)} of {count} delivered')
    sys.exit(1 if bad else 0)


asyncio.run(main())
