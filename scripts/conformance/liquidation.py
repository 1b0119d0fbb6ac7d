"""Liquidation and deleveraging on a real cluster, seen by unmodified clients.

usage: liquidation.py EXCHANGE SEED DATA

Starts a cluster of its own in DATA with the operator's tool EXCHANGE, from a copy of SEED in
which one symbol takes its index from here and begins with an empty book. One account is closed on the book
while it still has something left, another one when it has not, against who is on the other side.
"""

import asyncio
import json
import pathlib
import sys
import time

import aiohttp
import ccxt.pro

from cluster import Cluster, Index

NAME, SYMBOL, INDEX = 'SOLUSDT', 'SOL/USDT:USDT', 150.0
PATIENCE_S = 60
LEVERAGE = 50


class Stage:
    def __init__(self, cluster, index):
        self.cluster, self.index = cluster, index
        self.checks, self.clients, self.heard, self.tasks = 0, [], {}, []

    def check(self, holds, what):
        self.checks += 1
        if not holds:
            raise AssertionError(what)

    async def trader(self, name, deposit):
        client = ccxt.pro.binanceusdm(self.cluster.account(name, deposit))
        self.clients.append(client)
        await client.load_markets()
        key = (await client.fapiPrivatePostListenKey())['listenKey']
        await self.listen(name, f'/private/ws?listenKey={key}')
        return client

    async def listen(self, name, path):
        """Keeps what one socket says under a name."""
        heard = self.heard[name] = []
        ready = asyncio.Event()

        async def run():
            async with aiohttp.ClientSession() as session:
                url = self.cluster.base.replace('http', 'ws', 1) + path
                async with session.ws_connect(url) as socket:
                    ready.set()
                    async for message in socket:
                        heard.append(json.loads(message.data))

        self.tasks.append(asyncio.create_task(run()))
        await asyncio.wait_for(ready.wait(), PATIENCE_S)

    async def until(self, what, ask):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = await ask()
            if found:
                return found
            await asyncio.sleep(0.3)
        raise AssertionError(f'{what}: not within {PATIENCE_S} s')

    async def position(self, client):
        rows = await client.fetch_positions([SYMBOL])
        return sum(r['contracts'] * (1 if r['side'] == 'long' else -1) for r in rows)

    async def forced(self, client, kind):
        return await client.fapiPrivateGetForceOrders({'symbol': NAME, 'autoCloseType': kind})

    async def cleared(self, client):
        rows = await client.fapiPrivateGetIncome({'incomeType': 'INSURANCE_CLEAR'})
        return [float(row['income']) for row in rows]

    async def fund(self):
        row = await self.clients[0].fapiPublicGetInsuranceBalance({'symbol': NAME})
        return float(row['assets'][0]['marginBalance'])

    def calculated(self, name):
        updates = [m['o'] for m in self.heard[name] if m['e'] == 'ORDER_TRADE_UPDATE']
        return [o for o in updates if o['x'] == 'CALCULATED']

    async def enter(self, client, qty, maker):
        await client.set_leverage(LEVERAGE, SYMBOL)
        await maker.create_order(SYMBOL, 'limit', 'sell', qty, INDEX, {'postOnly': True})
        await client.create_order(SYMBOL, 'market', 'buy', qty)
        held = await self.position(client)
        self.check(held == qty, f'a position of {qty}: {held}')
        row = (await client.fapiPrivateV3GetPositionRisk({'symbol': NAME}))[0]
        self.check(0 < float(row['liquidationPrice']) < INDEX, f'where it ends: {row}')
        return float(row['liquidationPrice'])

    async def on_the_book(self):
        """The index falls until an account is due: it is sold while there is something left."""
        client, maker = await self.trader('book', 45), await self.trader('maker', 10_000)
        self.index.prices[NAME] = INDEX
        await self.until('there is a mark', self.marked_near(INDEX))
        before = await self.fund()
        line = await self.enter(client, 13, maker)
        # on one side alone, so that the book draws no mark
        await maker.create_order(SYMBOL, 'limit', 'buy', 13, round(line + 0.5, 2))
        watching = asyncio.create_task(maker.watch_liquidations(SYMBOL))
        while await self.position(client):
            self.check(self.index.prices[NAME] > line * 0.99, f'closed near {line}')
            self.index.prices[NAME] -= 0.05 if self.index.prices[NAME] < line + 0.2 else 0.4
            await asyncio.sleep(0.7)
        self.check(await self.position(maker) == 0, 'the maker has bought what it sold')
        orders = await self.forced(client, 'LIQUIDATION')
        named = [o['clientOrderId'] == f'autoclose-{o["orderId"]}' for o in orders]
        self.check(orders and all(named), f'orders that closed it: {orders}')
        sold = sum(float(o['executedQty']) for o in orders)
        self.check(sold == 13, f'all of it was sold: {sold}')
        self.check(not await self.forced(client, 'ADL'), 'nobody deleveraged it')
        parsed = sum(row['contracts'] for row in await client.fetch_my_liquidations(SYMBOL))
        self.check(parsed == 13, f'ccxt reads them so: {parsed}')
        watched = (await asyncio.wait_for(watching, PATIENCE_S))[0]
        self.check(watched['symbol'] == SYMBOL, f'and what it watches: {watched}')
        fills = self.calculated('book')
        self.check(sum(float(o['l']) for o in fills) == 13, f'each fill was told: {fills}')
        self.check(all(float(o['n']) == 0 for o in fills), 'a liquidation pays no trading fee')
        trades = await client.fetch_my_trades(SYMBOL)
        sold = sum(t['amount'] for t in trades if t['side'] == 'sell')
        self.check(sold == 13, f'and is among its trades: {trades}')
        fees = await self.cleared(client)
        self.check(fees and all(fee < 0 for fee in fees), f'the fee is in the statement: {fees}')
        gained = await self.fund() - before
        self.check(abs(gained + sum(fees)) < 1e-6, f'the fund got it: {gained} of {fees}')
        causes = [m['a']['m'] for m in self.heard['book'] if m['e'] == 'ACCOUNT_UPDATE']
        self.check('INSURANCE_CLEAR' in causes, f'and was told: {causes}')
        wallet = (await client.fetch_balance())['USDT']['total']
        self.check(0 <= wallet < 45, f'what is left: {wallet}')
        calls = [m for m in self.heard['book'] if m['e'] == 'MARGIN_CALL']
        self.check(calls and calls[0]['p'][0]['s'] == NAME, f'a call came before: {calls}')
        await self.told('SELL')

    async def against_the_winner(self):
        """The index falls so far at once that nothing is left: the other side is closed as well."""
        self.index.prices[NAME] = INDEX
        await self.until('the mark is back', self.marked_near(INDEX))
        winner, loser = await self.trader('winner', 10_000), await self.trader('loser', 45)
        last = (await loser.fetch_ticker(SYMBOL))['last']
        await self.enter(loser, 13, winner)
        seen = len(self.heard['market'])
        self.index.prices[NAME] = INDEX * 0.96

        async def flat():
            return await self.position(loser) == 0
        await self.until('the loser is closed', flat)
        self.check(await self.position(winner) == 0, 'and so is the winner')
        orders = await self.forced(winner, 'ADL')
        self.check([o['clientOrderId'] for o in orders] == ['adl_autoclose'], f'by ADL: {orders}')
        self.check(not await self.forced(winner, 'LIQUIDATION'), 'the winner was not due')
        closed = await self.forced(loser, 'LIQUIDATION')
        self.check(sum(float(o['executedQty']) for o in closed) == 13, f'closed: {closed}')
        for name in ('winner', 'loser'):
            fills = self.calculated(name)
            self.check(sum(float(o['l']) for o in fills) == 13, f'{name} was told: {fills}')
        wallet = (await loser.fetch_balance())['USDT']['total']
        self.check(wallet >= 0, f'nobody owes anything: {wallet}')
        public = await loser.fetch_trades(SYMBOL)
        self.check(len(public) and public[-1]['price'] > INDEX * 0.99,
                   f'a trade beside the book is no market data: {public[-1:]}')
        self.check((await loser.fetch_ticker(SYMBOL))['last'] >= last * 0.99, 'nor the last price')
        await self.told('SELL', seen)

    def marked_near(self, price):
        async def near():
            row = await self.clients[0].fapiPublicGetPremiumIndex({'symbol': NAME})
            return abs(float(row['markPrice']) / price - 1) < 0.001
        return near

    async def told(self, side, seen=0):
        async def heard():
            return self.heard['market'][seen:]
        events = await self.until('everybody hears of the liquidation', heard)
        order = events[0]['o']
        known = (order['s'], order['S'], order['f'])
        self.check(known == (NAME, side, 'IOC'), f'forceOrder: {order}')

    async def run(self):
        try:
            await self.listen('market', '/market/ws/!forceOrder@arr')
            await self.on_the_book()
            await self.against_the_winner()
        finally:
            for task in self.tasks:
                task.cancel()
            for client in self.clients:
                await client.close()


def main():
    exchange, seed, data = (pathlib.Path(word).resolve() for word in sys.argv[1:])
    index = Index(NAME)
    data.mkdir(parents=True, exist_ok=True)
    ours = data / 'seed.toml'
    ours.write_text(index.seed(seed.read_text()))
    cluster = Cluster(exchange, ours, data)
    stage = Stage(cluster, index)
    try:
        asyncio.run(stage.run())
        print(f'liquidation: {stage.checks} checks hold')
    except Exception as error:  # the cluster has to go, whatever failed
        print(f'liquidation: FAILED after {stage.checks} checks: {type(error).__name__} {error}')
        sys.exit(1)
    finally:
        cluster.down()


main()
